"""Write the worker's used slots into its pod's `pod-deletion-cost`, until told to stop.

Kubernetes removes the pods of the lowest cost first. Runs beside each worker where workers are
scaled, with Python's own library alone.
"""

import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

WORKER = os.environ["WORKER"]
API = os.environ.get("API", "https://kubernetes.default.svc")
ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
COST = "controller.kubernetes.io/pod-deletion-cost"
PERIOD_S = 10.0
WITHIN_S = 5.0


def used_slots() -> int:
    """Return the slots that the worker uses; its status is 503 while LiveKit is away."""
    try:
        answer = urlopen(WORKER, timeout=WITHIN_S)
    except HTTPError as refusal:
        answer = refusal
    with answer:
        return int(json.load(answer)["slots_used"])


def write(cost: int) -> None:
    """Write the cost into the annotation of this pod. The token is read anew: it expires."""
    namespace = (ACCOUNT / "namespace").read_text()
    token = (ACCOUNT / "token").read_text()
    request = Request(
        f"{API}/api/v1/namespaces/{namespace}/pods/{os.environ['POD_NAME']}",
        json.dumps({"metadata": {"annotations": {COST: str(cost)}}}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"},
        method="PATCH",
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urlopen(request, timeout=WITHIN_S, context=context):
        pass


def main() -> None:
    """Write the cost whenever it changed, until told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    written = None
    while True:
        try:
            if (used := used_slots()) != written:
                write(used)
                written = used
        except (OSError, ValueError, KeyError) as error:
            print(f"deletion cost: {error}", file=sys.stderr, flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main()
