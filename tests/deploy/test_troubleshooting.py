"""docs/troubleshooting.md has lines that the code can print."""

import re

import pytest

from deploy.installers import PROJECT

TEXT = (PROJECT / "docs" / "troubleshooting.md").read_text()
FENCES = re.findall(r"^```(log|text)\n(.*?)^```$", TEXT, re.M | re.S)
SYMPTOMS = {
    "No microphone",
    "No sound",
    "The agent never comes",
    "Full",
    "UDP blocked",
    "Licence not accepted",
    "Out of memory",
    "Slow",
}
SHORTEST = 6  # characters of a fragment that is looked for


def source() -> str:
    """Return all code that has messages for people, with sentences over several lines joined."""
    folders = ("worker", "token_service", "protocol", "deploy", "web/src")
    files = [path for each in folders for path in (PROJECT / each).rglob("*.[pt][ys]*")]
    text = "\n".join(path.read_text() for path in files if "__pycache__" not in path.parts)
    return re.sub(r'"\s*\n\s*f?"', "", text)


SOURCE = source()


def lines(kind: str) -> list[str]:
    """Return every line in fences of a kind."""
    return [line for found, body in FENCES if found == kind for line in body.splitlines()]


@pytest.mark.parametrize("line", sorted(set(lines("text"))))
def test_every_sentence_is_in_the_code(line: str) -> None:
    """Each sentence of the document stands in the code, apart from `…`."""
    fragments = [part.strip() for part in line.split("…")]
    missing = [part for part in fragments if len(part) >= SHORTEST and part not in SOURCE]

    assert missing == []


@pytest.mark.parametrize("line", sorted(set(lines("log"))))
def test_every_event_is_logged_with_its_fields(line: str) -> None:
    """Each event of the document is logged with these fields."""
    event, *given = line.split()
    calls = re.findall(rf'"{event}"(.{{0,400}}?)\n\s*\n|"{event}"(.{{0,300}})', SOURCE, re.S)
    fields = {each.split("=")[0] for each in given}

    assert calls, f"no code logs {event}"
    assert any(all(f"{field}=" in "".join(call) for field in fields) for call in calls)


def test_each_symptom_has_a_section() -> None:
    """Each symptom has a section, and the table links to all sections."""
    sections = set(re.findall(r"^## (.+)$", TEXT, re.M))
    linked = set(re.findall(r"\| \[([^\]]+)\]\(#", TEXT))

    assert SYMPTOMS - sections == set()
    assert sections == linked
