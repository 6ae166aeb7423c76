"""docs/architecture.md names files and code that exist."""

import re
from fnmatch import fnmatch

import pytest

from deploy.installers import PROJECT

TEXT = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = TEXT[TEXT.index("## To change X, open Y") : TEXT.index("## Who imports whom")]
FOLDERS = ("protocol", "mind", "worker", "token_service", "deploy", "web/src", "tests", "docs")
FILES = {
    path.relative_to(PROJECT).as_posix(): path
    for folder in FOLDERS
    for path in (PROJECT / folder).rglob("*.*")
    if not {"__pycache__", "node_modules"} & set(path.parts)
}
CODE = "\n".join(
    path.read_text(encoding="utf-8") for name, path in FILES.items() if name.endswith((".py", "ts"))
)
NAMES = sorted(set(re.findall(r"`([^`]+)`", TEXT)))
IS_FILE = re.compile(r".*\.(py|tsx?|md|json)")


@pytest.mark.parametrize("name", list(filter(IS_FILE.fullmatch, NAMES)))
def test_each_file_exists(name: str) -> None:
    """A file that the page names exists, wherever its row says the folder once."""
    wanted = [name, f"*/{name}"] if name != "config.json" else ["*"]  # a model's
    assert [each for each in FILES if any(fnmatch(each, want) for want in wanted)]


@pytest.mark.parametrize(
    "name",
    [
        each
        for each in sorted(set(re.findall(r"`(_?[A-Za-z]\w*(?:\.\w+)?)`", TABLE)))
        if not IS_FILE.fullmatch(each)
    ],
)
def test_each_name_is_in_the_code(name: str) -> None:
    """A class, function, setting or field that the table names is in the code."""
    missing = [part for part in name.split(".") if not re.search(rf"\b{part}", CODE)]

    assert missing == []
