"""A hub repository that is not in the cache: to be downloaded, gated, or out of reach."""

from dataclasses import dataclass

import huggingface_hub
from huggingface_hub import errors as hub
from huggingface_hub.hf_api import ModelInfo

from deploy.doctor.finding import Finding, fail, warn
from deploy.doctor.machine import gib
from protocol.config.secret import reveal
from protocol.config.settings import Settings

WITHIN_S = 10.0
PARTS = (".safetensors", ".model", ".json", ".tgz")  # of a model; not its pictures and readme


@dataclass(frozen=True, slots=True)
class Repository:
    """Findings about a repository, and the size of its missing files."""

    findings: list[Finding]
    to_fetch_bytes: int = 0


def repository(name: str, settings: Settings) -> Repository:
    """Ask the hub about a repository."""
    token = reveal(settings, "hf_token", "doctor") if settings.hf_token else None
    hub_api = huggingface_hub.HfApi(token=token)
    try:
        info = hub_api.model_info(name, files_metadata=True, timeout=WITHIN_S)
        if info.gated:
            hub_api.auth_check(name)
    except hub.GatedRepoError:
        return Repository([_gated(name, has_token=_has_token(hub_api))])
    except hub.RepositoryNotFoundError:
        advice = "check the name; a private repository needs HF_TOKEN"
        return Repository([fail("model.unknown", f"the hub has no repository {name}", advice)])
    except OSError as error:  # no connection, or an answer that is one (HfHubHTTPError)
        advice = "connect to the network, or give a folder that holds the files"
        found = f"{name} is not in the cache, and the hub does not answer: {_first_line(error)}"
        return Repository([fail("model.hub_away", found, advice)])
    return _to_fetch(name, info)


def _to_fetch(name: str, info: ModelInfo) -> Repository:
    files = [each for each in info.siblings or [] if each.rfilename.endswith(PARTS)]
    size = sum(each.size or 0 for each in files if not _cached(name, each.rfilename))
    licence = "its licence is accepted" if info.gated else "it asks for no licence"
    advice = "the first start fetches it; or hf download " + name
    found = f"{name}: {gib(size)} to fetch; {licence}"
    return Repository([warn("model.to_fetch", found, advice)], size)


def _gated(name: str, *, has_token: bool) -> Finding:
    if has_token:
        found = f"{name} is gated, and this HF_TOKEN may not read it"
        advice = f"accept its licence at https://huggingface.co/{name} with the token's account"
        return fail("model.licence", found, advice)
    found = f"{name} is gated, and HF_TOKEN is not set"
    advice = f"accept its licence at https://huggingface.co/{name} and set HF_TOKEN"
    return fail("model.token", found, advice)


def _has_token(hub_api: huggingface_hub.HfApi) -> bool:
    return bool(hub_api.token or huggingface_hub.get_token())


def _cached(name: str, file: str) -> bool:
    return isinstance(huggingface_hub.try_to_load_from_cache(name, file), str)


def _first_line(error: OSError) -> str:
    """Return the hub's message; of a failed connection its kind, as its text is urllib3's own."""
    said = str(error).splitlines() if isinstance(error, hub.HfHubHTTPError) else []
    return next(iter(said), type(error).__name__)[:200]
