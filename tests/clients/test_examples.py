"""The examples, unmodified: each holds a conversation with the product."""

import asyncio
import re
import shutil
import signal
import sys
import wave
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio
import sphn
from playwright.async_api import Browser, Page, expect

from deploy import installers
from harness.person import person
from harness.recordings import recording
from harness.rooms import in_talk
from harness.stack import Stack, start_stack
from tests.browser.microphone import write_voice
from tests.clients.answering import Answering, answering
from tests.clients.call import FULL
from tests.clients.packages import HERE

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = installers.PROJECT / "examples"
LANGUAGES = ("python", "node")
LISTEN_S = 4.0  # a persona talks for 2 s, then pauses for 2
AUDIBLE = 0.005
ENDS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Talk:
    """The output of an example: its lines, and the samples of its WAV file in [-1, 1]."""

    lines: list[str]
    heard: np.ndarray

    @property
    def words(self) -> list[str]:
        """Return the lines that the persona said."""
        return [line for line in self.lines if not line.startswith(("(", "{"))]


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a WAV file with a voice; return its path."""
    return write_voice(tmp_path_factory.mktemp("question") / "question.wav")


def command_of(language: str, folder: Path) -> list[str]:
    """Return the command of an example; Node finds packages beside the script alone."""
    if language == "python":
        return [sys.executable, str(EXAMPLES / "talk.py")]
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    return [str(installers.node()), shutil.copy(EXAMPLES / "talk.mjs", folder)]


async def start(
    language: str,
    endpoint: str,
    question: Path,
    folder: Path,
    listen_s: float,
    persona: str = "chef",
) -> asyncio.subprocess.Process:
    """Start an example; it writes what it hears to `answer.wav`."""
    return await asyncio.create_subprocess_exec(
        *command_of(language, folder),
        endpoint,
        str(question),
        str(folder / "answer.wav"),
        persona,
        str(listen_s),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def hold(stack: Stack, question: Path, language: str, folder: Path) -> Talk:
    """Run an example's whole conversation; return its output."""
    process = await start(language, f"{stack.url}/token", question, folder, LISTEN_S)
    out, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 0, err.decode()
    return Talk(out.decode().splitlines(), samples_of(folder / "answer.wav"))


def samples_of(path: Path) -> np.ndarray:
    """Return the samples of an example's WAV file, in [-1, 1]."""
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (24_000, 1, 2)
        return np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2") / 32_768


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def talks(
    stack: Stack, question: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Talk]:
    """Run the conversations of the examples without a screen, at the same time."""
    await stack.slots_used_become(0)
    held = [hold(stack, question, each, tmp_path_factory.mktemp(each)) for each in LANGUAGES]
    return dict(zip(LANGUAGES, await asyncio.gather(*held), strict=True))


@pytest.fixture(params=LANGUAGES)
def talk(request: pytest.FixtureRequest, talks: dict[str, Talk]) -> Talk:
    """Return one example's conversation."""
    return talks[request.param]


async def test_an_example_records_the_persona(talk: Talk) -> None:
    """An example's WAV file is as long as the conversation and has a voice in it."""
    assert len(talk.heard) / 24_000 > LISTEN_S
    assert np.sqrt(np.mean(talk.heard**2)) > AUDIBLE


async def test_an_example_prints_the_personas_words(talk: Talk) -> None:
    """An example prints the persona's words."""
    assert len(" ".join(talk.words).split()) >= 2


async def test_an_example_prints_the_personas_state(talk: Talk) -> None:
    """An example prints when the persona listens and when it speaks."""
    assert {"(listening)", "(speaking)"} <= set(talk.lines)


async def test_the_python_client_joins_again(stack: Stack, question: Path, tmp_path: Path) -> None:
    """The Python example that is removed from its room joins again, and the persona speaks."""
    await stack.slots_used_become(0)
    process = await start("python", f"{stack.url}/token", question, tmp_path, ENDS_WITHIN_S)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            while b"(speaking)" not in await process.stdout.readline():
                pass
            await stack.close_rooms()
            while b"(listening)" not in await process.stdout.readline():
                pass
            while b"(speaking)" not in await process.stdout.readline():
                pass
    finally:
        process.terminate()  # not SIGINT, which a run in the background ignores
        await process.communicate()


async def test_the_example_without_webrtc_records_and_prints(stack: Stack, tmp_path: Path) -> None:
    """`examples/audio.py` writes a voice, prints words and states, and frees its slot."""
    await stack.slots_used_become(0)
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    sphn.write_wav(str(question), recording("opening"), 24_000)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "audio.py"), stack.url),
        *(str(question), str(answer), "chef", str(LISTEN_S)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 0, err.decode()
    told = out.decode().splitlines()
    assert any(line.startswith("ready") for line in told) and "state speaking" in told
    assert any(line.startswith("transcript ") and len(line.split()) > 2 for line in told)
    assert np.sqrt(np.mean(samples_of(answer) ** 2)) > AUDIBLE
    await stack.slots_used_become(0)


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory, frontend: str) -> Generator[Stack]:
    """Start the product with the echo, whose state does not change by itself."""
    folder = tmp_path_factory.mktemp("echoing")
    with start_stack(folder, model="echo", capacity=2, cors_origins=frontend) as running:
        yield running


@contextmanager
def service_for(stack: Stack, room: str) -> Generator[Answering]:
    """Run a token endpoint that answers with a token for this room."""
    token = httpx.post(f"{stack.url}/token", json={"room_name": room}, trust_env=False)
    with answering(200, token.text) as service:
        yield service


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_example_prints_the_state_of_a_persona_that_was_there(
    echoing: Stack, question: Path, tmp_path: Path, language: str
) -> None:
    """An example that joins a persona who listens already prints `(listening)` first."""
    async with person(echoing.url) as ann:
        await in_talk(ann)
        with service_for(echoing, ann.room.name) as service:
            process = await start(language, service.endpoint, question, tmp_path, LISTEN_S)
            out, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 0, err.decode()
    told = [line for line in out.decode().splitlines() if not line.startswith("{")]
    assert told[0] == "(listening)"


async def test_the_plain_page_shows_the_state_of_a_persona_that_was_there(
    browser: Browser, frontend: str, echoing: Stack
) -> None:
    """The plain page shows the state that a persona had before the page joined."""
    async with person(echoing.url) as ann:
        await in_talk(ann)
        page = await browser.new_page()
        endpoint = f"{echoing.url}/token"
        await page.goto(f"{frontend}/talk.html?endpoint={endpoint}&room={ann.room.name}")
        await page.get_by_role("button", name="Talk").click()
        await expect(page.locator("#state")).to_have_text(re.compile(r": (listening|speaking)$"))
        await page.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_refusal_ends_an_example_with_the_reason(
    stack: Stack, question: Path, tmp_path: Path, language: str
) -> None:
    """A refusal that another request would not change ends an example with the service's detail."""
    endpoint = f"{stack.url}/token"
    process = await start(language, endpoint, question, tmp_path, LISTEN_S, persona="nobody")
    _, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 1
    assert "'nobody'" in err.decode()


async def test_an_endpoint_without_a_scheme_is_refused(question: Path, tmp_path: Path) -> None:
    """An endpoint without a scheme ends the example with a message and no request."""
    endpoint = "localhost:8080/token"
    process = await start("python", endpoint, question, tmp_path, LISTEN_S)
    _, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 1
    assert err.decode() == f"{endpoint!r}: expected http://… or https://…\n"


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ((), 2, "usage: "),
        (("http://127.0.0.1:1/token", "no.wav", "{folder}/a.wav", "chef", "long"), 2, "usage: "),
        (("http://127.0.0.1:1/token", "no.wav", "{folder}/a.wav"), 1, "FileNotFoundError: "),
        (("http://127.0.0.1:1/token", "{text}", "{folder}/a.wav"), 1, "Error: "),
    ],
)
@pytest.mark.parametrize("example", ["audio.py", "talk.py"])
async def test_a_wrong_command_line_is_told_without_a_traceback(
    tmp_path: Path, example: str, given: tuple[str, ...], status: int, told: str
) -> None:
    """A Python example that cannot begin ends with its usage, or with what is wrong in a line."""
    (tmp_path / "text.wav").write_text("no sound")
    arguments = [each.format(folder=tmp_path, text=tmp_path / "text.wav") for each in given]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / example), *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == status
    assert told in err.decode() and "Traceback" not in err.decode()


async def test_ctrl_c_ends_the_python_client_without_a_traceback(
    question: Path, tmp_path: Path
) -> None:
    """Ctrl-C ends the Python example that tries again and again, without a traceback."""
    process = await asyncio.create_subprocess_exec(
        *("env", "--default-signal=INT", *command_of("python", tmp_path)),  # a test may ignore it
        *("http://127.0.0.1:1/token", str(question), str(tmp_path / "answer.wav")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(ENDS_WITHIN_S):
        assert (await process.stdout.readline()).startswith(b"(trying again")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()

    assert (process.returncode, err.decode()) == (130, "")


async def test_an_answer_without_a_token_ends_the_python_client(
    question: Path, tmp_path: Path
) -> None:
    """An answer without a token ends the Python example with an error."""
    with answering(200, "{}") as service:
        process = await start("python", service.endpoint, question, tmp_path, LISTEN_S)
        _, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)

    assert process.returncode == 1
    assert "KeyError" in err.decode()


async def test_a_full_service_is_asked_again(tmp_path: Path) -> None:
    """While the service is full, the example asks again and again."""
    question = tmp_path / "question.wav"
    with wave.open(str(question), "wb") as short:
        short.setparams((1, 2, 24_000, 0, "NONE", ""))
        short.writeframes(bytes(4_800))
    with answering(503, "All places are taken.") as service:
        process = await start("python", service.endpoint, question, tmp_path, 0.0)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                lines = [(await process.stdout.readline()).decode() for _ in range(4)]
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    assert service.asked >= 4
    assert all("All places are taken." in line for line in lines)


@pytest_asyncio.fixture(loop_scope="session")
async def plain(browser: Browser, frontend: str, stack: Stack) -> AsyncGenerator[Page]:
    """Open the plain page."""
    await stack.slots_used_become(0)
    page = await browser.new_page()
    await page.goto(f"{frontend}/talk.html?endpoint={stack.url}/token&persona=teacher")
    yield page
    await page.close()


async def press(page: Page, name: str, answer: str = "Teacher") -> None:
    """Press a button until the page shows `answer`, as a busy worker is full for a moment."""
    state = page.locator("#state")
    while True:
        await page.get_by_role("button", name=name, exact=True).click()
        await expect(state).to_have_text(re.compile(f"{answer}|{FULL}"))
        if answer in await state.inner_text():
            return
        await asyncio.sleep(0.5)


async def test_the_plain_page_talks_hangs_up_and_calls_again(plain: Page) -> None:
    """Each call shows the persona's state and words, and plays its voice, until it is hung up."""
    for name in ("Talk", "Talk again"):
        await press(plain, name)
        await expect(plain.locator("#state")).to_have_text("Teacher: speaking")
        await expect(plain.locator("#words p").first).not_to_be_empty()
        await expect(plain.locator("audio")).to_have_count(1)
        await plain.get_by_role("button", name="Hang up").click()
        await expect(plain.locator("#state")).to_have_text("Talk again")


async def test_the_plain_page_says_why_it_is_refused(
    browser: Browser, frontend: str, stack: Stack
) -> None:
    """A refusal's detail is shown on the plain page, and the Talk button again."""
    page = await browser.new_page()
    await page.goto(f"{frontend}/talk.html?endpoint={stack.url}/token&persona=nobody")
    await page.get_by_role("button", name="Talk").click()

    await expect(page.locator("#state")).to_contain_text("nobody")
    await expect(page.get_by_role("button", name="Talk")).to_be_visible()
    await page.close()


async def test_the_plain_page_says_that_it_has_no_microphone(
    deaf_browser: Browser, frontend: str, stack: Stack, idle: None
) -> None:
    """Without a microphone the plain page shows the browser's reason and starts no call."""
    page = await deaf_browser.new_page()
    await page.goto(f"{frontend}/talk.html?endpoint={stack.url}/token&persona=teacher")
    await press(page, "Talk", "Permission denied")

    await expect(page.get_by_role("button", name="Talk again")).to_be_visible()
    await page.close()
