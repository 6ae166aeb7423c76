"""The examples of docs/minds.md with a scripted model: `python -m mind`, `examples/minds/`."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.minds import handbook
from harness.fork_server import finished
from harness.language_model import ScriptedModel, looks_up
from harness.servers import free_port
from protocol.config.settings import PROJECT

EXAMPLES = PROJECT / "examples" / "minds"
WITHIN_S = 60.0


async def terminal(model: ScriptedModel | None, *arguments: str) -> tuple[int, str]:
    """Run `python -m mind`; return its exit status and what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIND_")}
    if model is not None:
        environment |= {"MIND_URL": model.url, "MIND_MODEL": "scripted", "MIND_API_KEY": "sk-x"}
    done = await asyncio.to_thread(finished, "mind", *arguments, env=environment)
    return done.returncode, done.stdout + done.stderr


@asynccontextmanager
async def service(program: str) -> AsyncIterator[int]:
    """Run an example's server on a free port; yield the port once it answers."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / program), "--port", str(port), cwd=PROJECT
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.1)
        yield port
    finally:
        process.terminate()
        await process.wait()


def at_port(persona: str, port: int, folder: Path) -> str:
    """Copy the example's persona with its tool at another port; return the path."""
    text = (EXAMPLES / persona).read_text()
    moved = folder / persona
    moved.write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", text))
    return str(moved)


async def test_the_shop_tells_its_opening_hours(model: ScriptedModel) -> None:
    """The shop's persona tells the hours of its file by an MCP server."""
    model.otherwise = looks_up("opening_hours", {"day": "sunday"})
    status, printed = await terminal(
        model, "--persona", "examples/minds/shop.toml", "What time do you open on Sunday?"
    )
    lines = printed.splitlines()
    assert status == 0 and lines[0] == "Ann: What time do you open on Sunday?", printed
    assert re.fullmatch(r"  · opening_hours · \d+\.\d s", lines[-2])
    assert lines[-1] == ("Robin, at the shop: Sunday: 11 in the morning to 3 in the afternoon")
    assert "12 Mill Lane" in model.requests[0]["messages"][0]["content"]


async def test_the_guide_tells_the_weather(model: ScriptedModel, tmp_path: Path) -> None:
    """The guide's persona tells the weather by a function over HTTP, and an unknown city fails."""
    async with service("weather.py") as port:
        persona = at_port("guide.toml", port, tmp_path)
        model.otherwise = looks_up("weather", {"city": "Oslo"})
        status, printed = await terminal(model, "--persona", persona, "Weather in Oslo?")
        assert status == 0 and "light snow" in printed, printed
        model.otherwise = looks_up("weather", {"city": "Atlantis"})
        status, printed = await terminal(model, "--persona", persona, "In Atlantis?")
        assert "· failed" in printed and "no weather for Atlantis" in printed


async def test_support_reads_the_handbook(model: ScriptedModel, tmp_path: Path) -> None:
    """The support's persona reads a passage of the handbook by an MCP server over HTTP."""
    async with service("handbook.py") as port:
        persona = at_port("support.toml", port, tmp_path)
        model.otherwise = looks_up("search_handbook", {"question": "How do I reset the box?"})
        status, printed = await terminal(model, "--persona", persona, "How do I reset it?")
        assert status == 0 and "fifteen seconds" in printed, printed


async def test_a_mind_of_fixed_lines_needs_no_model() -> None:
    """A mind of kind `lines` answers without a model, and leaves other questions to the voice."""
    status, printed = await terminal(
        None,
        *("--persona", "examples/minds/greeter.toml"),
        *("Hi! Where is the toilet?", "Pardon?", "Do you like music?"),
    )
    answer = "Kim, at the door: The toilets are on the left, behind the stairs."
    assert status == 0
    assert printed.splitlines()[1::2] == [answer, answer, "(leaves the answer to the voice)"]


async def test_a_mind_that_is_not_defined_is_printed(tmp_path: Path) -> None:
    """A persona that names another one without a mind is refused by both files' names."""
    persona = 'label = "Kim"\nline = "x"\nvoice = "NATF0"\nprompt = "x"\n'
    (tmp_path / "plain.toml").write_text(persona)
    (tmp_path / "kim.toml").write_text(persona + 'mind = "plain"\n')
    status, printed = await terminal(None, "--persona", str(tmp_path / "kim.toml"), "Hello?")
    assert status == 2 and "kim.toml: mind='plain': plain.toml has no table [mind]" in printed


async def test_the_cause_of_a_trouble_is_printed(model: ScriptedModel, tmp_path: Path) -> None:
    """The terminal prints what the worker's log says: a misspelt function, an HTTP status."""
    shop = (EXAMPLES / "shop.toml").read_text().replace('["opening_hours"]', '["opening_hour"]')
    (tmp_path / "shop.toml").write_text(shop)
    model.reply(401)
    status, printed = await terminal(model, "--persona", str(tmp_path / "shop.toml"), "Open?")
    assert status == 0
    for told in ("tool_server_lacks_functions", '["opening_hour"]', "mind_trouble", "401"):
        assert told in printed
    assert "sk-x" not in printed


async def test_an_unreachable_model_is_printed() -> None:
    """The terminal prints that the language model cannot be reached."""
    away = ScriptedModel(url=f"http://127.0.0.1:{free_port()}/v1")
    status, printed = await terminal(away, "--persona", "examples/minds/shop.toml", "Hello?")
    assert status == 0 and "The language model cannot be reached" in printed


@pytest.mark.parametrize(
    ("persona", "refusal"),
    [
        ("nobody", "is no file"),
        ("docs/no.toml", "is no file"),
        ("examples/minds/shop.toml", "MIND_URL and MIND_MODEL"),
    ],
)
async def test_a_missing_persona_or_model_is_printed(persona: str, refusal: str) -> None:
    """Without a persona's file or a model the command ends with status 2 and the reason."""
    status, printed = await terminal(None, "--persona", persona, "Hello?")
    assert status == 2 and refusal in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("How do I reset the box?", "Reset"),
        ("Where is my wifi password, the wireless one?", "Wireless password"),
        ("The light blinks red", "The lights"),
        ("We are moving to a new address", "Moving house"),
    ],
)
def test_the_handbook_is_searched_by_words(question: str, heading: str) -> None:
    """The handbook's passage that shares most rare words with the question is the best."""
    assert handbook.best(question, handbook.passages())[0].startswith(heading)
    assert handbook.best("Quantum chromodynamics?", handbook.passages()) == []


def test_the_document_names_existing_files() -> None:
    """Each file and command that docs/minds.md names exists."""
    text = (PROJECT / "docs" / "minds.md").read_text()
    for path in re.findall(r"examples/minds/[\w.]+", text):
        assert (PROJECT / path).is_file(), path
    for command in re.findall(r"^\.venv/bin/python (.*)$", text, re.MULTILINE):
        words = shlex.split(command)
        assert words[:2] == ["-m", "mind"] or (PROJECT / words[0]).is_file(), command
