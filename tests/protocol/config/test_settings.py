"""Settings: the order of the layers, and the refusals of wrong values."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from protocol.config.settings import DEVELOPMENT_SECRET, Settings, load_settings
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
        ("PORT", "0", "settings: port='0': Input should be greater than or equal to 1"),
        ("DEVICE", "gpu", "settings: device='gpu': Input should be 'auto', 'cpu' or 'cuda'"),
        (
            "LIVEKIT_PUBLIC_URL",
            "http://x",
            "settings: livekit_public_url='http://x': expected an address that begins with "
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
    ],
)
def test_an_invalid_url_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """A URL without a valid host and port is refused with its setting and value."""
    monkeypatch.setenv(name, url)

    assert refusal() == (
        f"settings: {name.lower()}={url!r}: "
        "expected scheme://host:port, an IPv6 address in [brackets]"
    )


def test_a_wrong_redis_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal of a wrong REDIS_URL does not show it, as it may hold a password."""
    monkeypatch.setenv("REDIS_URL", "http://:hush@redis")

    assert refusal() == (
        "settings: redis_url: expected an address that begins with redis:// or rediss:// or unix://"
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
