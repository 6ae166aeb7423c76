"""Documents that are made from the settings, and the links and targets in all documents."""

import re

import pytest

from deploy import configuration
from deploy.installers import PROJECT
from protocol.config.settings import Settings


@pytest.mark.parametrize("name", ["README.md", ".env.example"])
def test_documents_say_what_the_settings_say(name: str) -> None:
    """README.md and .env.example are as `make configuration` writes them."""
    texts = {path.name: (path.read_text(), text) for path, text in configuration.documents()}
    written, due = texts[name]

    assert due == written


def test_every_setting_says_what_it_means() -> None:
    """Each setting has a description."""
    silent = [name for name, field in Settings.model_fields.items() if not field.description]

    assert silent == []


DOCUMENTS = sorted(
    path.relative_to(PROJECT).as_posix()
    for path in [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
)


def headings(text: str) -> set[str]:
    """Return the anchors of a document, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Each link to a file or a heading leads to one."""
    path = PROJECT / name
    text = path.read_text()
    lost: list[str] = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        target = (path.parent / file) if file else path
        if not target.exists() or (anchor and anchor not in headings(target.read_text())):
            lost.append(link)

    assert lost == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_exists(name: str) -> None:
    """Each make target in the documents exists in the Makefile."""
    known = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M))
    asked = set(re.findall(r"(?:`|^)make ([a-z-]+)", (PROJECT / name).read_text(), re.M))

    assert asked - known == set()
