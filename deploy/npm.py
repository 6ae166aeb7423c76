"""Run npm under the node of `deploy.installers`: `python -m deploy.npm run build`.

In `web/`, or where `--prefix tests/clients` says.
"""

import os
import subprocess
import sys

from deploy import installers

WEB = "web"
ELSEWHERE = "--prefix"


def main(arguments: list[str]) -> int:
    """Run npm; its scripts find the same node on their PATH."""
    folder = WEB
    if arguments[:1] == [ELSEWHERE]:
        _, folder, *arguments = arguments
    try:
        node, command = installers.node(), installers.npm()
    except installers.ProgramMissing as error:
        print(f"==> {error}", file=sys.stderr)
        return 1
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        [*command, *arguments], cwd=installers.PROJECT / folder, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
