"""Files of a hub repository: from the hub's cache, otherwise downloaded.

Blocks while it downloads.
"""

import errno
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub import errors as hub

from protocol.errors import InvalidInput

Progress = Callable[[str], None]
OfHub = Callable[[str, str], Path | None]  # a repository and a file's name → where it lies now

WEIGHTS = ".safetensors"
NO_ROOM, NO_ROOM_TEXT = (errno.ENOSPC, errno.EDQUOT), "No space left on device"
MAY_NOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)


def cached(repository: str, name: str) -> Path | None:
    """Return a file of a hub repository that was fetched before."""
    found = huggingface_hub.try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None


def download(progress: Progress, most_bytes: int | None, repository: str, name: str) -> Path | None:
    """Return a file of a hub repository: from the hub's cache, so that a start needs no network.

    None: the repository has no such file. Weights of more than `most_bytes` are not fetched.
    Raises `InvalidInput` that says what to do.
    """
    found = huggingface_hub.try_to_load_from_cache(repository, name)
    if found is not None:  # a path, or the mark of a file that the repository lacks
        return Path(found) if isinstance(found, str) else None
    progress(f"{repository}: fetching {name}")
    try:
        if most_bytes is not None and name.endswith(WEIGHTS):
            _refuse_too_large(repository, name, most_bytes)
        return Path(huggingface_hub.hf_hub_download(repository, name))
    except hub.LocalEntryNotFoundError as error:  # its cause is the hub's answer, if there was one
        answer = error.__cause__
        raise InvalidInput(_refused(repository, name, answer)) from error
    except hub.EntryNotFoundError:
        return None
    # No connection is an OSError, too; hf_xet, which fetches large files, raises RuntimeErrors.
    except (hub.HfHubHTTPError, OSError, RuntimeError) as error:
        raise InvalidInput(_refused(repository, name, error)) from error


def _refuse_too_large(repository: str, name: str, most_bytes: int) -> None:
    """Ask for the size of weights before a download that the device could not hold."""
    url = huggingface_hub.hf_hub_url(repository, name)
    size = huggingface_hub.get_hf_file_metadata(url).size or 0
    if size > most_bytes:
        raise too_large(repository, name, size, most_bytes)


def too_large(repository: str, name: str, size: int, most_bytes: int) -> InvalidInput:
    """Make the error for weights that the device has no memory for."""
    return InvalidInput(
        f"MODEL={repository!r}: {name} has {size / 2**30:.2f} GiB, but "
        f"{most_bytes / 2**30:.2f} GiB is free where it would run, so it was not fetched; "
        "expected a smaller or quantized model, or a larger device"
    )


def _refused(repository: str, name: str, error: BaseException | None) -> str:
    """Return why the hub does not give a file, with advice."""
    if isinstance(error, hub.RepositoryNotFoundError) and not isinstance(error, hub.GatedRepoError):
        return (
            f"MODEL={repository!r}: the hub has no such repository, or shows it to members only "
            "(then set HF_TOKEN); there is no folder of that name either"
        )
    if isinstance(error, hub.HfHubHTTPError):
        if error.response is not None and error.response.status_code in (401, 403):
            return _gated(repository)
        return f"MODEL={repository!r}: the hub refused {name}: {error}"
    if why := why_not_stored(error):
        return f"MODEL={repository!r}: {name} {why}"
    if isinstance(error, RuntimeError):
        return (
            f"MODEL={repository!r}: the download of {name} broke off: {error!s:.300}; start again, "
            "or give a folder that holds the files"
        )
    return (
        f"MODEL={repository!r}: {name} is not in the hub's cache and the hub cannot be reached "
        f"({error}); connect to the network, or give a folder that holds the files"
    )


def why_not_stored(error: BaseException | None) -> str:
    """Return why a file cannot be kept in the hub's cache, with advice; empty: it is not that."""
    number = error.errno if isinstance(error, OSError) else None
    if number in NO_ROOM or NO_ROOM_TEXT in str(error):
        return (
            f"does not fit on the disk of {constants.HF_HUB_CACHE}: make room there, or set "
            "HF_HOME to a folder with more"
        )
    if number in MAY_NOT_WRITE:
        return (
            f"may not be stored in {constants.HF_HUB_CACHE}: set HF_HOME to a folder that this "
            "process may write"
        )
    return ""


def _gated(repository: str) -> str:
    return (
        f"MODEL={repository!r}: this repository is gated. Sign in at "
        f"https://huggingface.co/{repository}, accept its licence there, "
        "and set HF_TOKEN to a token of that account that may read it"
    )
