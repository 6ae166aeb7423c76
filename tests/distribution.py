"""How `pytest -n` shares the tests out: by file, or by folder where a folder shares its servers."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Session fixtures exist once per process, so these folders stay whole. Long ones start first.
WHOLE_FOLDERS = ("tests/faults", "tests/worker", "tests/clients", "tests/browser")


class FolderScheduling(LoadScopeScheduling):
    """Hands out whole folders first, then file by file in the order of collection."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # else by the number of tests

    def _split_scope(self, nodeid: str) -> str:
        """Return the unit of a test: tests of one unit run in one process, in their order."""
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """Return the folder of a test that shares servers with its folder, else its file."""
    whole = (folder for folder in WHOLE_FOLDERS if nodeid.startswith(f"{folder}/"))
    return next(whole, nodeid.partition("::")[0])


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests so that whole folders come first; keep the order otherwise."""

    def rank(item: pytest.Item) -> int:
        unit = unit_of(item.nodeid)
        return WHOLE_FOLDERS.index(unit) if unit in WHOLE_FOLDERS else len(WHOLE_FOLDERS)

    items.sort(key=rank)
