"""The settings of all processes, in this order: environment, `.env`, user file, defaults."""

import os
from pathlib import Path
from typing import Annotated, Literal, get_args

import structlog
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from protocol.config.env_file import names_in, read_env_file
from protocol.config.setting_names import given_to_make, meant_by, misspelt
from protocol.config.setting_types import (
    BrowserUrl,
    Colour,
    Language,
    LiveKitUrl,
    Origin,
    OwnPath,
    PageName,
    PortNumber,
    Proxies,
    Rate,
    RedisUrl,
    RootPath,
    Seconds,
    WebUrl,
)
from protocol.config.user_file import UserFile, home
from protocol.errors import InvalidInput, explain
from protocol.text import ENCODING

log = structlog.stdlib.get_logger(__name__)

PROJECT = Path(__file__).resolve().parents[2]
USER_FILE = home() / ".config/moshi-rooms/settings.toml"
PAGE_NAME = "Moshi rooms"
DEVELOPMENT_KEY = "devkey"
DEVELOPMENT_SECRET = "development-secret-at-least-32-bytes"

AuthMode = Literal["loopback", "open", "api_keys", "jwt"]
SHORTEST_SECRET = 32  # bytes; a key's name is shorter


class Settings(BaseSettings):
    """The settings. An environment variable has the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_file=PROJECT / ".env",
        env_file_encoding=ENCODING,
        toml_file=USER_FILE,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        use_attribute_docstrings=True,  # deploy.configuration makes the README of them
    )

    production: bool = False
    """Refuse to start with development keys, without an `AUTH_MODE` chosen, or without TLS."""

    # LiveKit. Browsers and our own processes may need different addresses.
    livekit_url: LiveKitUrl = "ws://127.0.0.1:7880"
    """Address of LiveKit for our own processes."""
    livekit_public_url: BrowserUrl = "ws://127.0.0.1:7880"
    """Address of LiveKit for browsers; wss unless they run on this machine."""
    livekit_api_key: str = Field(default=DEVELOPMENT_KEY, min_length=1)
    """Name of the API key of LiveKit."""
    livekit_api_secret: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_SECRET), min_length=SHORTEST_SECRET
    )
    """Secret of that key, at least 32 bytes. The default is for development only."""
    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    """Redis, for room specs, heartbeats and events."""

    # Token service.
    host: str = "127.0.0.1"
    """Address that the token service listens on."""
    port: PortNumber = 8080
    """Port of the page and the token service."""
    root_path: RootPath = ""
    """Path under which a proxy serves page and API, as `/voice`, unless the proxy sends it."""
    cors_origins: Annotated[tuple[Origin, ...], NoDecode] = ()
    """Other origins whose pages may request tokens, separated by commas."""
    token_ttl_s: int = Field(default=600, ge=30, le=86_400)
    """Seconds in which a token must be used to connect."""
    promise_ttl_s: int = Field(default=3600, ge=60, le=31_536_000)
    """Seconds that a named caller's session waits for a person, and that a used one is kept."""
    reservation_s: float = Field(default=30.0, ge=1.0, le=600.0)
    """Seconds that a new session's slots are held for the first person to come."""
    default_persona: str = "assistant"
    """Persona of a request without one."""
    ratings: bool = False
    """Ask people after a call how it went, from 1 to 5; each answer is an event."""
    personas_dir: OwnPath = PROJECT / "personas"
    """Folder of the persona files."""
    web_dir: OwnPath = PROJECT / "web" / "dist"
    """Folder of the built page."""

    # The page.
    page_name: PageName = PAGE_NAME
    """Name of the page: at its top, in its title, and where it is installed or shared."""
    page_colour: Colour = ""
    """Colour of the page's buttons, as `#1a66c4`; its lightness follows the theme. Unset: green."""
    page_logo: OwnPath | None = None
    """Logo at the top of the page, a file: SVG, PNG, WebP or JPEG. With compose: `personas/…`."""
    page_terms: WebUrl | None = None
    """Address of your terms of use, which the page links before a call."""
    page_privacy: WebUrl | None = None
    """Address of your privacy notice, which the page links before a call."""
    languages: Annotated[tuple[Language, ...], NoDecode] = Field(default=("en",), min_length=1)
    """Languages that the model speaks, as `en,fr`; the page says so."""

    # The callers of the token service.
    auth_mode: Annotated[tuple[AuthMode, ...], NoDecode] = Field(
        default=("loopback",), min_length=1
    )
    """Callers: `loopback` (this machine only), `open` (all), `api_keys`, `jwt`; or several."""
    api_keys_file: OwnPath | None = None
    """TOML file of hashed API keys; `python -m token_service.keys` adds one."""
    jwt_issuer: str | None = None
    """Issuer of JWTs of the operator's own users."""
    jwt_audience: str | None = None
    """Audience that these JWTs must have."""
    jwt_jwks_url: WebUrl | None = None
    """Where the issuer publishes its keys."""
    trusted_proxies: Proxies = "127.0.0.1"
    """Proxies whose `X-Forwarded-…` is trusted; with `loopback`, single addresses only."""
    rate_per_address: Rate = "300/minute"
    """Most requests from one address; trusted local requests are exempt."""
    rate_per_caller: Rate = "120/minute"
    """Most tokens and changes of one caller."""
    streams_per_caller: int = Field(default=50, ge=1, le=200)
    """Most event streams of one caller at a time; a token service serves 200 in all."""
    audit_log: OwnPath | None = None
    """File of JSON lines, one for each token and change, with its caller. Unset: none is kept."""

    # Worker.
    worker_host: str = "127.0.0.1"
    """Address that the worker listens on: health, metrics, WebSockets of the token service."""
    worker_port: PortNumber = 8081
    """Port of the worker."""
    chat_idle_s: Seconds = Field(default=30.0, ge=1.0)
    """Seconds after which a WebSocket client that sends nothing is disconnected."""
    model: str = Field(default="pocket", min_length=1)
    """`pocket`, `echo`, a hub repository, or a folder."""
    stt: str = Field(default="auto", min_length=1)
    """Recogniser of people's words: `auto`, `whisper`, `off`, a hub repository, or a folder."""
    hf_token: SecretStr | None = None
    """Token of the hub, for repositories whose licence has to be accepted."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs: `cpu`, `cuda`, or `auto`, which takes a GPU if there is one."""
    capacity: int | None = Field(default=None, ge=1, le=512)
    """Slots: personas at a time. Unset: the model's own choice for the device."""
    room_processes: int | None = Field(default=None, ge=1, le=64)
    """Processes of rooms. Unset: one per 2 cores and 8 of `CAPACITY`, at most 8; to one a spare."""
    context: int | None = Field(default=None, ge=16, le=65_536)
    """Frames of 80 ms that the model remembers. Unset: the model's own."""
    kv_dtype: Literal["auto", "bf16", "int8"] = "auto"
    """Keys and values in memory; bf16: the model's own type; auto: int8 where twice as many fit."""
    renew_at: float = Field(default=0.92, ge=0.5, le=0.95)
    """Share of the context at which a conversation's memory is renewed; it keeps up to half."""
    torch_threads: int = Field(default=1, ge=1)
    """Threads of torch on a CPU."""
    voices_dir: OwnPath = PROJECT / "voices"
    """Folder of voices, WAV or .pt."""
    cache_dir: OwnPath = home() / ".cache/moshi-rooms"
    """Folder for downloads, and for files that are built once."""
    max_step_share: float = Field(default=0.9, gt=0.0, allow_inf_nan=False)
    """Share of a frame's 80 ms; while the 99th percentile of steps takes more, new rooms wait."""
    empty_room_grace_s: Seconds = Field(default=20.0, ge=0.0)
    """Seconds that a host waits after the last person left."""
    floor_hold_s: Seconds = Field(default=20.0, ge=0.0)
    """Seconds that one of several personas has the floor before it yields at its next pause."""
    floor_alone_turns: int = Field(default=8, ge=0)
    """Turns that personas take among themselves until a person speaks. Unset: 1 with `pocket`."""
    floor_alone_s: Seconds = Field(default=60.0, ge=0.0)
    """Seconds that personas talk among themselves until a person speaks."""
    remember: bool = True
    """Keep a conversation's last minute in redis, as tokens, so that another worker can go on."""
    drain_grace_s: Seconds = Field(default=60.0, ge=0.0)
    """Seconds for conversations that no other worker can take, once theirs is told to stop."""

    # The language model behind personas with a mind (docs/minds.md). The worker asks it.
    mind_url: WebUrl | None = None
    """OpenAI-compatible endpoint of the language model of minds, as `http://host:11434/v1`."""
    mind_model: str = ""
    """Name of the language model at `MIND_URL`."""
    mind_api_key: SecretStr | None = None
    """Key of `MIND_URL`. Unset: none is sent."""
    mind_calls_per_minute: int = Field(default=20, ge=1, le=1000)
    """Most calls of the language model in a minute, for one room."""

    # Recordings of sessions that ask for one. Both services need the same values.
    record_dir: OwnPath | None = None
    """Folder of recordings. Unset, and without `RECORD_S3_BUCKET`: none can be asked for."""
    record_consent: Literal["ask", "told"] = "ask"
    """`ask`: only people who have agreed are recorded; `told`: all, and the page tells them."""
    record_days: int = Field(default=30, ge=1, le=36_500)
    """Days after which a recording is deleted."""
    record_s3_bucket: str = ""
    """Bucket of S3-compatible storage; `RECORD_DIR` then holds recordings until they are there."""
    record_s3_endpoint: WebUrl | None = None
    """Address of that storage. Unset: Amazon's."""
    record_s3_region: str = "us-east-1"
    """Region of the bucket."""
    record_s3_access_key: str = ""
    """Name of the key to the bucket. Unset: that of the machine's role at Amazon."""
    record_s3_secret_key: SecretStr | None = None
    """Secret of that key."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe lines that are logged: `debug`, `info`, `warning` or `error`."""
    log_format: Literal["auto", "console", "json"] = "auto"
    """`console` (text), `json`, or `auto`: text on a terminal, else JSON."""

    otel_exporter_otlp_endpoint: WebUrl | None = None
    """Address of an OpenTelemetry collector, as `http://127.0.0.1:4318`. Unset: no traces."""

    @property
    def may_record(self) -> bool:
        """Return whether there is a place for recordings."""
        return self.record_dir is not None or bool(self.record_s3_bucket)

    @field_validator("cors_origins", "auth_mode", "languages", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        """Split a list such as `CORS_ORIGINS=https://a.example,https://b.example`."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources; the first that has a key wins."""
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            UserFile(settings_cls),
        )


def load_settings() -> Settings:
    """Read all sources. Raises `InvalidInput` naming each key and what was expected, no secret."""
    if (env_file := Settings.model_config.get("env_file")) is not None:
        _refuse_misspelt(str(env_file), names_in(read_env_file(Path(str(env_file)))))
    _refuse_misspelt("make", given_to_make(os.environ))
    try:
        return Settings()
    except ValidationError as error:
        faulty = {str(fault["loc"][0]): fault["input"] for fault in error.errors() if fault["loc"]}
        if "livekit_api_secret" in faulty:
            raise InvalidInput(_short_secret()) from None
        secret = {name for name, value in faulty.items() if _is_secret(name, value)}
        why = explain(error, secret=secret, are_settings=True)
        raise InvalidInput(f"settings: {why}") from None


def log_misspelt() -> None:
    """Log the variables of the environment whose names are near a setting's."""
    for name in sorted(os.environ):
        if meant := meant_by(name, Settings.model_fields):
            log.warning("setting_unknown", name=name, meant=meant)


def _refuse_misspelt(where: str, names: list[str]) -> None:
    if refusal := misspelt(where, names, Settings.model_fields):
        raise InvalidInput(refusal)


def _is_secret(name: str, value: object) -> bool:
    """Return whether a value may hold a secret: a password, or an address with one."""
    is_kept = SecretStr in (kind := Settings.model_fields[name].annotation, *get_args(kind))
    return is_kept or name == "redis_url" or "@" in str(value)


def _short_secret() -> str:
    """Return the refusal of a short secret; it tells where name and secret seem swapped."""
    try:
        name = Settings(livekit_api_secret=SecretStr(DEVELOPMENT_SECRET)).livekit_api_key
    except ValidationError:
        name = ""
    expected = "LIVEKIT_API_SECRET: expected at least 32 bytes (value not shown)"
    if len(name) < SHORTEST_SECRET:
        return expected
    return f"{expected}; LIVEKIT_API_KEY is as long as a secret: the two seem to be swapped"
