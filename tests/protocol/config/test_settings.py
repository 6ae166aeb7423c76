"""Settings: the order of the layers, and the refusals of wrong values."""

from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from protocol.config.settings import (
    DEVELOPMENT_SECRET,
    PROJECT,
    Settings,
    load_settings,
    log_misspelt,
)
from protocol.errors import InvalidInput


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """Return the path of the test's own user file, which does not exist yet."""
    return tmp_path / "settings.toml"


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    """Return the path of the test's own `.env`, which does not exist yet."""
    return tmp_path / ".env"


@pytest.fixture(autouse=True)
def own_layers(monkeypatch: pytest.MonkeyPatch, user_file: Path, dotenv: Path) -> None:
    """Use the test's own files, and an environment without our settings."""
    monkeypatch.setitem(Settings.model_config, "toml_file", user_file)
    monkeypatch.setitem(Settings.model_config, "env_file", dotenv)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refusal() -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    return str(caught.value)


def test_without_any_layer_the_defaults_hold() -> None:
    """Without any file or variable the defaults are used."""
    settings = load_settings()

    assert (settings.port, settings.worker_port, settings.model) == (8080, 8081, "pocket")
    assert settings.livekit_api_secret.get_secret_value() == DEVELOPMENT_SECRET


def test_the_environment_wins_then_dotenv_then_the_users_file(
    monkeypatch: pytest.MonkeyPatch, user_file: Path, dotenv: Path
) -> None:
    """The environment overrides `.env`, which overrides the user's file, key by key."""
    user_file.write_text('model = "user"\nport = 1\ntoken_ttl_s = 31\n')
    dotenv.write_text("MODEL=dotenv\nPORT=2\n")
    monkeypatch.setenv("MODEL", "environment")
    settings = load_settings()

    assert (settings.model, settings.port, settings.token_ttl_s) == ("environment", 2, 31)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AUTH_MDOE", "AUTH_MODE"),
        ("record_day", "RECORD_DAYS"),
        ("LIVEKIT_KEY", "LIVEKIT_API_KEY"),
        ("LIVEKIT_SECRET", "LIVEKIT_API_SECRET"),
        ("NODEIP", "NODE_IP"),
    ],
)
def test_a_misspelt_name_in_dotenv_is_refused(dotenv: Path, name: str, meant: str) -> None:
    """A name in `.env` that is near a setting's is refused, with that name and no value."""
    dotenv.write_text(f"PORT=2\nexport {name}=hush\n")

    assert refusal() == f"{dotenv}: {name} is no setting; did you mean {meant}?"


@pytest.mark.parametrize("flags", ["MODLE=echo", "-j4 -- PORT=1 MODLE=echo"])
def test_a_misspelt_name_on_makes_command_line_is_refused(
    monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    """`make run MODLE=echo` does not start the usual model."""
    monkeypatch.setenv("MAKEFLAGS", flags)

    assert refusal() == "make: MODLE is no setting; did you mean MODEL?"


@pytest.mark.parametrize("name", ["DOMAIN", "MY_TOOL_KEY", "LIVEKIT_KEYS", "OTEL_SERVICE_NAME"])
def test_names_of_others_may_stand_in_dotenv(dotenv: Path, name: str) -> None:
    """Names that docker compose, OpenTelemetry or tools of minds read are no misspelt settings."""
    dotenv.write_text(f"{name}=x\n")

    assert load_settings().port == 8080


def test_each_name_of_the_example_is_known(dotenv: Path) -> None:
    """No line of `.env.example` is refused once it is filled in."""
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    names = [line.removeprefix("#").partition("=")[0] for line in lines if "=" in line]
    ours = {name.upper() for name in Settings.model_fields}
    dotenv.write_text(
        "".join(f"{name}=x\n" for name in names if name.isupper() and name not in ours)
    )

    assert load_settings().port == 8080


def test_a_misspelt_variable_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in the environment may be another program's, so it is told and not refused."""
    monkeypatch.setenv("RECORD_DAY", "7")
    monkeypatch.setenv("LANGUAGE", "en_US:en")
    with structlog.testing.capture_logs() as logs:
        log_misspelt()

    assert [(each["name"], each["meant"]) for each in logs] == [("RECORD_DAY", "RECORD_DAYS")]


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable means the default."""
    monkeypatch.setenv("CAPACITY", "")

    assert load_settings().capacity is None


def test_origins_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable lists several origins with commas."""
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example,")

    assert load_settings().cors_origins == ("https://a.example", "https://b.example")


def test_origins_may_be_a_list_in_the_users_file(user_file: Path) -> None:
    """The user's file lists several origins as a TOML list."""
    user_file.write_text('cors_origins = ["https://a.example"]')

    assert load_settings().cors_origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PORT", "0", "settings: PORT='0': Input should be greater than or equal to 1"),
        ("DEVICE", "gpu", "settings: DEVICE='gpu': Input should be 'auto', 'cpu' or 'cuda'"),
        (
            "LIVEKIT_PUBLIC_URL",
            "http://x",
            "settings: LIVEKIT_PUBLIC_URL='http://x': expected an address that begins with "
            "ws:// or wss://",
        ),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    """A refusal names the setting, its value and the choices."""
    monkeypatch.setenv(name, value)

    assert refusal() == reason


def test_a_short_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal of a short secret does not show it."""
    monkeypatch.setenv("LIVEKIT_API_SECRET", "hush")

    assert refusal() == "LIVEKIT_API_SECRET: expected at least 32 bytes (value not shown)"


def test_swapped_key_and_secret_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key and secret that seem swapped are refused as such, and neither is shown."""
    monkeypatch.setenv("LIVEKIT_API_KEY", "5" * 64)
    monkeypatch.setenv("LIVEKIT_API_SECRET", "rooms-1a2b")

    assert refusal() == (
        "LIVEKIT_API_SECRET: expected at least 32 bytes (value not shown); "
        "LIVEKIT_API_KEY is as long as a secret: the two seem to be swapped"
    )


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("LIVEKIT_URL", "ws://::1:7880"),
        ("LIVEKIT_URL", "ws://host:seven"),
        ("LIVEKIT_PUBLIC_URL", "wss://host:99999"),
        ("LIVEKIT_PUBLIC_URL", "wss://:7880"),
        ("LIVEKIT_URL", "ws://[::1"),
        ("LIVEKIT_PUBLIC_URL", "wss://https://talk.example.com"),  # a DOMAIN with its scheme
    ],
)
def test_an_invalid_url_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """A URL without a valid host and port is refused with its setting and value."""
    monkeypatch.setenv(name, url)

    assert refusal() == (
        f"settings: {name}={url!r}: expected scheme://host:port, an IPv6 address in [brackets]"
    )


def test_a_wrong_redis_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal of a wrong REDIS_URL does not show it, as it may hold a password."""
    monkeypatch.setenv("REDIS_URL", "http://:hush@redis")

    assert refusal() == (
        "settings: REDIS_URL: expected an address that begins with redis:// or rediss:// or unix://"
    )


def test_a_users_file_that_is_no_toml_is_named(user_file: Path) -> None:
    """A user file that is not TOML is refused with its path."""
    user_file.write_text("port 8080")

    assert refusal().startswith(f"{user_file}: not TOML: ")


def test_settings_do_not_change() -> None:
    """Settings cannot be changed after they are loaded."""
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.port = 1  # pyright: ignore[reportAttributeAccessIssue]  # that is the rule


def test_secrets_are_masked_in_every_text() -> None:
    """Settings that are printed show no secret."""
    settings = load_settings()

    assert isinstance(settings.livekit_api_secret, SecretStr)
    assert DEVELOPMENT_SECRET not in f"{settings!r} {settings}"


def test_an_empty_text_in_the_users_file_means_the_default(user_file: Path) -> None:
    """An empty text in the user's file means the default, as an empty variable does."""
    user_file.write_text('record_dir = ""\nhost = ""\nmind_url = ""\n')
    settings = load_settings()

    assert (settings.record_dir, settings.host, settings.mind_url) == (None, "127.0.0.1", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prot = 9090", "prot is no setting; did you mean port?"),
        ("[server]\nport = 9090", "server is no setting"),
    ],
)
def test_a_name_that_is_no_setting_is_refused(user_file: Path, text: str, reason: str) -> None:
    """A name in the user's file that is no setting is refused; it would change nothing."""
    user_file.write_text(text)

    assert refusal().startswith(f"{user_file}: {reason}")


def test_a_users_file_with_a_byte_order_mark_is_read(user_file: Path) -> None:
    """A user's file with a byte order mark and CRLF is read."""
    user_file.write_bytes(b"\xef\xbb\xbfPORT = 9090\r\n")

    assert load_settings().port == 9090


@pytest.mark.parametrize(
    "line",
    [
        "mind_api_key = 70123456",
        'record_s3_secret_key = ["hush-70123456"]',
        'mind_url = "ftp://me:hush-70123456@model"',
        'otel_exporter_otlp_endpoint = "me:hush-70123456@collector:4318"',
    ],
)
def test_a_refused_secret_is_not_shown(user_file: Path, line: str) -> None:
    """The refusal of a key, or of an address with a password, does not show it."""
    user_file.write_text(f"{line}\nport = 0\n")

    assert line.split()[0].upper() in (said := refusal()) and "70123456" not in said
    assert "PORT=0: " in said


@pytest.mark.parametrize("name", ["RECORD_DIR", "AUDIT_LOG", "CACHE_DIR", "API_KEYS_FILE"])
def test_a_tilde_is_the_users_folder(dotenv: Path, name: str) -> None:
    """A path that begins with ~ leads into the user's folder in every layer."""
    dotenv.write_text(f"{name}=~/rooms\n")

    assert getattr(load_settings(), name.lower()) == Path.home() / "rooms"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLOOR_HOLD_S", "inf"),
        ("FLOOR_ALONE_S", "1e400"),
        ("EMPTY_ROOM_GRACE_S", "inf"),
        ("CHAT_IDLE_S", "inf"),
        ("DRAIN_GRACE_S", "1e30"),
        ("MAX_STEP_SHARE", "inf"),
        ("PROMISE_TTL_S", "99999999999999999999"),
    ],
)
def test_an_endless_time_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A time that no clock can wait for is refused by its name; it failed in the first call."""
    monkeypatch.setenv(name, value)

    assert refusal().startswith(f"settings: {name}='{value}': Input should be ")


@pytest.mark.parametrize("name", ["AUTH_MODE", "LANGUAGES"])
def test_a_list_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A list that needs an entry is refused without one: nobody could call."""
    monkeypatch.setenv(name, " , ")

    assert refusal().startswith(f"settings: {name}=")


@pytest.mark.parametrize("origin", ["https://a.example/", "a.example", "https://a.example/page"])
def test_an_origin_that_no_browser_sends_is_refused(
    monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    """An origin with a path or without a scheme is refused: it would equal no browser's."""
    monkeypatch.setenv("CORS_ORIGINS", f"https://b.example:8443,{origin}")

    assert refusal().startswith(f"settings: CORS_ORIGINS.1={origin!r}: expected * or scheme://")


@pytest.mark.parametrize("name", ["MIND_URL", "PAGE_TERMS", "PAGE_PRIVACY", "LIVEKIT_URL"])
def test_an_address_with_a_space_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An address with a space is refused, as no client could reach it."""
    monkeypatch.setenv(name, "http://model .example")

    assert refusal().startswith(f"settings: {name}='http://model .example': expected ")


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/33", "10.0.0.5/16", "10.0.0.1 10.0.0.2"])
def test_a_proxy_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """What is neither an address nor a network is refused: all people would share one limit."""
    monkeypatch.setenv("TRUSTED_PROXIES", f"127.0.0.1, ::1, 10.1.0.0/16,{wrong}")

    assert "expected addresses or networks" in (said := refusal())
    assert said.startswith("settings: TRUSTED_PROXIES=") and wrong in said


@pytest.mark.parametrize("everybody", ["*", "0.0.0.0/0", "::/0"])
def test_proxies_that_are_everybody_are_refused(
    monkeypatch: pytest.MonkeyPatch, everybody: str
) -> None:
    """To trust every address is refused: a client would choose the one that it is counted by."""
    monkeypatch.setenv("TRUSTED_PROXIES", f"127.0.0.1,{everybody}")

    assert f"with {everybody} every client chooses its own address" in refusal()
