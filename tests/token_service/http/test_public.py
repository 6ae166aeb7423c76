"""Public answers: health, readiness, personas, voices, the page and its configuration."""

import re
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from protocol.config.settings import Settings
from protocol.errors import InvalidInput
from protocol.heartbeat import SpeechRecognition
from protocol.sampling import UsualSampling
from tests.token_service.players import beat
from token_service.app import create_app
from token_service.http.public import look_of


async def get(settings: Settings, path: str) -> httpx.Response:
    """Return one answer of an app that needs neither redis nor LiveKit for it."""
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def test_health_needs_no_other_server(settings: Settings) -> None:
    """`/health` answers 200 without redis and LiveKit."""
    answer = await get(settings, "/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_with_a_free_slot_ready_answers_200(http: httpx.AsyncClient, redis: Redis) -> None:
    """`/ready` answers 200 if LiveKit and redis answer and a slot is free."""
    await beat(redis)
    answer = await http.get("/ready")

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "code": "", "reason": ""}


async def test_without_a_ready_worker_ready_answers_503(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """Without a ready worker `/ready` answers 503 with a code and a sentence."""
    await beat(redis, state="loading_model")
    answer = await http.get("/ready")

    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "code": "loading_model",
        "reason": "The model is still loading.",
    }


async def test_personas_are_the_catalogue(http: httpx.AsyncClient) -> None:
    """`/personas` lists the catalogue by name."""
    names = [persona["name"] for persona in (await http.get("/personas")).json()]

    assert names == ["assistant", "astronaut", "chef", "customer_service", "teacher"]


async def test_personas_have_the_lines_that_they_can_say(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """A persona's `lines` are those that a small model can say, or null if it says any."""
    lines = {"*": ["Yes, I see."], "VARF1": ["Are you hungry already?"]}
    told: list[list[str] | None] = []
    for known in (lines, None):
        await beat(redis, lines=known)
        personas = (await http.get("/personas")).json()
        told.append(next(each["lines"] for each in personas if each["name"] == "chef"))

    assert told == [["Are you hungry already?", "Yes, I see."], None]


async def test_personas_say_whether_their_prompts_are_followed(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """A persona's `followed` is whether the model reads prompts, and null without a worker."""
    told: list[set[bool | None]] = []
    for prompts in (None, False, True):
        if prompts is not None:
            await beat(redis, model_prompts=prompts)
        told.append({persona["followed"] for persona in (await http.get("/personas")).json()})

    assert told == [{None}, {False}, {True}]


async def test_voices_are_the_workers(http: httpx.AsyncClient, redis: Redis) -> None:
    """`/voices` lists the voices of the running model in order."""
    await beat(redis, voices=("ben", "anna"))

    assert (await http.get("/voices")).json() == ["anna", "ben"]


async def test_the_configuration_of_the_page_is_complete(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """`/api/config` has addresses, model, voices, slots, limits and readiness."""
    sampling = UsualSampling(audio_temperature=0.6, audio_top_k=50)
    await beat(
        redis,
        model_note="It is a demonstration.",
        model_sampling=sampling,
        voices=("anna",),
        slots_used=2,
        stt=SpeechRecognition(state="failed", model="tiny.en", reason="There is no hub."),
    )
    config = (await http.get("/api/config")).json()
    personas = config.pop("personas")

    assert config == {
        "livekit_url": "wss://rooms.example",
        "agent_name": "moshi",
        "default_persona": "assistant",
        "page": {"name": "Moshi rooms", "colour": "", "logo": "", "terms": "", "privacy": ""},
        "languages": ["en"],
        "ratings": False,
        "model": {
            "name": "pocket",
            "note": "It is a demonstration.",
            "prompts": False,
            "sampling": {
                "text_temperature": 0.7,
                "text_top_k": 25,
                "audio_temperature": 0.6,
                "audio_top_k": 50,
            },
        },
        "people_words": {"written": False, "model": "tiny.en", "reason": "There is no hub."},
        "voices": ["anna"],
        "slots_free": 6,
        "slots_used": 2,
        "limits": {
            "prompt_characters": 1000,
            "prompt_tokens": None,
            "personas_per_room": 14,
            "name_bytes": 256,
            "metadata_bytes": 4096,
        },
        "ready": True,
        "code": "",
        "reason": "",
    }
    assert [persona["label"] for persona in personas][:2] == ["Assistant", "Astronaut"]


async def test_the_configuration_says_that_the_model_is_loading(
    http: httpx.AsyncClient, redis: Redis
) -> None:
    """`/api/config` answers while the model is loading, with the code and the usual sampling."""
    await beat(redis, state="loading_model", slots_free=0)
    config = (await http.get("/api/config")).json()

    assert (config["ready"], config["code"]) == (False, "loading_model")
    assert config["model"].pop("sampling") == UsualSampling().model_dump()
    assert config["model"] == {"name": "pocket", "note": "", "prompts": False}


async def test_token_requests_are_counted_by_outcome(http: httpx.AsyncClient) -> None:
    """`/metrics` counts token requests by outcome."""
    await http.post("/token", content=b"nonsense")

    assert re.search(
        r'^moshi_tokens_total\{outcome="invalid_input"\} [1-9]',
        (await http.get("/metrics")).text,
        re.MULTILINE,
    )


async def test_the_documentation_needs_no_other_host(settings: Settings) -> None:
    """`/docs` names no address of another host."""
    answer = await get(settings, "/docs")

    assert answer.status_code == 200
    assert re.findall(r"https?://[^\"' ]+", answer.text) == []


async def test_the_documentations_files_are_here(settings: Settings) -> None:
    """Every script and style sheet that `/docs` names is served."""
    named = re.findall(r'(?:src|href)="([^"]+)"', (await get(settings, "/docs")).text)
    statuses = [(await get(settings, path)).status_code for path in named]

    assert len(named) >= 2
    assert statuses == [200] * len(named)


async def test_openapi_describes_the_standard_body(settings: Settings) -> None:
    """The document lists the fields of `POST /token`, all optional, and its answers."""
    document = (await get(settings, "/openapi.json")).json()
    operation = document["paths"]["/token"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]

    assert sorted(schema["properties"]) == [
        "participant_attributes",
        "participant_identity",
        "participant_metadata",
        "participant_name",
        "record",
        "room_config",
        "room_name",
        "transcribe",
    ]
    assert schema.get("required", []) == []
    refused = ["400", "401", "403", "408", "413", "429", "500", "503"]
    assert sorted(operation["responses"]) == ["201", *refused]


async def test_a_page_that_is_not_built_says_so(settings: Settings, tmp_path: Path) -> None:
    """Before the page is built, `/` answers 503 with how to build it, and the page's files 404."""
    unbuilt = settings.model_copy(update={"web_dir": tmp_path / "dist"})

    assert (await get(unbuilt, "/")).status_code == 503
    assert "`make run` builds it" in (await get(unbuilt, "/")).text
    assert (await get(unbuilt, "/assets/page.js")).status_code == 404


async def test_the_page_is_served(settings: Settings, tmp_path: Path) -> None:
    """`/` is the built page, revalidated each time, and the page's files are served below it."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>page</p>")
    (tmp_path / "assets" / "page.js").write_text("1")
    built = settings.model_copy(update={"web_dir": tmp_path})
    page = await get(built, "/")

    assert (page.text, page.headers["cache-control"]) == ("<p>page</p>", "no-cache")
    assert (await get(built, "/assets/page.js")).text == "1"


def test_a_logo_that_is_not_there_is_refused(settings: Settings) -> None:
    """A refusal names setting, value and what is expected; the page would show a broken picture."""
    with pytest.raises(InvalidInput, match=r"PAGE_LOGO='personas/none.svg': expected a file"):
        create_app(settings.model_copy(update={"page_logo": Path("personas/none.svg")}))


async def test_the_operators_page_is_served(settings: Settings, tmp_path: Path) -> None:
    """An operator's page has its name, logo, colour and links; the logo may run no script."""
    (tmp_path / "index.html").write_text(
        '<title>Moshi rooms</title><meta content="./share.png">', encoding="utf-8"
    )
    (tmp_path / "manifest.webmanifest").write_text('{"name": "Moshi rooms", "start_url": "./"}')
    logo = tmp_path / "own.svg"
    logo.write_text("<svg/>")
    operators = settings.model_copy(
        update={
            "web_dir": tmp_path,
            "page_name": "Bread & Voices",
            "page_colour": "#1a66c4",
            "page_logo": logo,
            "page_terms": "https://example.com/terms",
        }
    )
    page, manifest, served = [
        await get(operators, path) for path in ("/", "/manifest.webmanifest", "/logo")
    ]

    assert "<title>Bread &amp; Voices</title>" in page.text
    assert 'content="http://localhost/share.png"' in page.text
    assert manifest.json()["name"] == "Bread & Voices"
    assert (served.text, served.headers["content-type"]) == ("<svg/>", "image/svg+xml")
    assert served.headers["content-security-policy"].startswith("default-src 'none'")
    assert look_of(operators).model_dump() == {
        "name": "Bread & Voices",
        "colour": "#1a66c4",
        "logo": "logo",
        "terms": "https://example.com/terms",
        "privacy": "",
    }


async def test_built_files_are_compressed_and_cached(settings: Settings, tmp_path: Path) -> None:
    """A built file is compressed and cached forever, and a missing one is not cached."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "page-1a2b.js").write_text("let a = 1;\n" * 1000)
    built = settings.model_copy(update={"web_dir": tmp_path})
    script = await get(built, "/assets/page-1a2b.js")

    assert script.text == "let a = 1;\n" * 1000
    assert script.headers["content-encoding"] == "gzip"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await get(built, "/assets/gone.js")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fx"])
async def test_nothing_but_the_page_is_served(
    settings: Settings, tmp_path: Path, path: str
) -> None:
    """No path leads out of the page's folder."""
    folder = tmp_path / "dist"
    folder.mkdir()
    (tmp_path / "pyproject.toml").write_text("secret")
    (tmp_path / "x").write_text("secret")

    assert (await get(settings.model_copy(update={"web_dir": folder}), path)).status_code == 404


@pytest.mark.parametrize("path", ["/health", "/", "/nothing"])
async def test_every_answer_carries_the_headers(settings: Settings, path: str) -> None:
    """Every answer has headers against sniffing, foreign frames and referrers."""
    headers = (await get(settings, path)).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/api/config", "/personas", "/voices", "/openapi.json"])
async def test_an_unchanged_answer_is_not_sent_again(
    http: httpx.AsyncClient, redis: Redis, path: str
) -> None:
    """A client that names the ETag of its copy gets 304, also for HEAD and for a weak ETag."""
    await beat(redis)
    first = await http.get(path)
    tag = first.headers["etag"]
    again = await http.get(path, headers={"If-None-Match": f'"another", W/{tag}'})
    head = await http.head(path, headers={"If-None-Match": tag})

    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert head.status_code == 304


async def test_an_answer_that_has_changed_is_sent(http: httpx.AsyncClient, redis: Redis) -> None:
    """A changed answer is sent with another ETag."""
    await beat(redis, slots_free=6)
    tag = (await http.get("/api/config")).headers["etag"]
    await beat(redis, slots_free=5)
    changed = await http.get("/api/config", headers={"If-None-Match": tag})

    assert (changed.status_code, changed.json()["slots_free"]) == (200, 5)
    assert changed.headers["etag"] != tag
