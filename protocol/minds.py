"""Minds: how a persona's file says what answers beside its voice, and with which tools.

Only the operator's files define minds: the table `[mind]` of a persona's file defines one under the
persona's name, by which other personas may name it. A caller names a mind and defines none, so the
addresses and commands in these files are all that a mind can reach. Pure but for `load_minds`,
which reads files.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from protocol.commands import LINE_LIMIT
from protocol.errors import TAG, InvalidInput, explain
from protocol.text import Clean, CleanLine, Matching
from protocol.toml_file import read_toml

NAME = r"[a-z][a-z0-9_]{0,31}"  # of a persona, and of the mind that its file defines
QUESTION_WORDS = frozenset(
    ("what", "who", "where", "when", "which", "why", "how", "can", "do", "is", "are", "may")
)
PROMPT_LIMIT = 8000  # characters of a mind's own prompt, beside its persona's
TOOLS_LIMIT = 16  # tables `[[mind.tools]]` of one mind

MindName = Annotated[
    str,
    Matching(f"|{NAME}", "the name of a persona whose file defines a mind, or nothing"),
]
FunctionName = Annotated[
    str,
    Matching(r"[A-Za-z][A-Za-z0-9_-]{0,63}", "a letter, then up to 63 letters, digits, _ and -"),
]
Address = Annotated[
    str,
    Matching(r"https?://[^\s/?#]+.*", "an address that begins with http:// or https://"),
    Field(max_length=2000),
]
Sentence = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LINE_LIMIT), CleanLine
]
PATTERN = r"[\w' |*-]*\w[\w' |*-]*"
Pattern = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    Matching(PATTERN, "words, with | between alternatives and * for any words"),
]
CommandLine = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
# `$NAME` in a value stands for the environment variable NAME of the worker.
VariableName = Annotated[str, Matching(r"[A-Za-z0-9_-]+", "letters, digits, _ and -")]
Variables = Mapping[VariableName, str]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FixedAnswer(_Table):
    """One table `[[mind.lines]]`: patterns of what a person says, and sentences that answer it.

    The sentences take turns. With `repeat` the persona says its last line again.
    """

    when: Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=100)]
    say: Annotated[tuple[Sentence, ...], Field(max_length=20)] = ()
    repeat: bool = False

    @model_validator(mode="after")
    def _check_answer(self) -> Self:
        if self.repeat == bool(self.say):
            raise ValueError("expected either sentences in `say`, or `repeat = true`")
        return self


class _Mind(_Table):
    model: str = ""  # the one of `MODEL`; with any other the persona has no mind; empty: any

    def suits(self, model: str) -> bool:
        """Return whether personas have this mind where `MODEL` names this model; empty: any."""
        return not model or self.model in ("", model)


class LinesMind(_Mind):
    """A mind of fixed answers: the line whose pattern matches most words is said word by word."""

    kind: Literal["lines"]
    lines: Annotated[tuple[FixedAnswer, ...], Field(min_length=1, max_length=500)]

    @property
    def likely(self) -> tuple[str, ...]:
        """Sentences that people may well say, made of the first pattern of each line."""
        patterns = (re.sub(r"\|[\w'-]+", "", line.when[0].replace("*", " ")) for line in self.lines)
        return tuple(_written(" ".join(each.split())) for each in patterns)


class _Tool(_Table):
    within_s: Annotated[float, Field(gt=0.0, le=20.0)] = 10.0  # of one call; an answer has 20


def _address_or_command(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Refuse what is neither in one sentence: pydantic tells of both."""
    try:
        return read(value)
    except ValidationError:
        raise ValueError(
            "expected an address that begins with http:// or https://, or a command as a list"
        ) from None


class McpTools(_Tool):
    """The functions of an MCP server, which is reached by an address or started by a command.

    The command's first word `python` means the worker's own Python; it starts in the folder of
    this product, with the variables in `env` and none of the worker's secrets.
    """

    mcp: Annotated[Address | CommandLine, WrapValidator(_address_or_command)]
    only: tuple[str, ...] = ()  # names of the functions to offer; empty: all
    headers: Variables = {}
    env: Variables = {}

    @model_validator(mode="after")
    def _check_way(self) -> Self:
        if self.headers and not isinstance(self.mcp, str):
            raise ValueError("`headers` are for a server with an address; a command has `env`")
        if self.env and isinstance(self.mcp, str):
            raise ValueError("`env` is for a command; a server with an address has `headers`")
        return self


class HttpFunction(_Tool):
    """One function over HTTP: its arguments are the query of a GET, or the JSON of a POST."""

    http: Address
    name: FunctionName
    description: Annotated[str, StringConstraints(min_length=1, max_length=1000), Clean]
    method: Literal["GET", "POST"] = "GET"
    parameters: Mapping[str, Any] = {"type": "object", "properties": {}}  # a JSON schema
    headers: Variables = {}


def _fields(table: object) -> Mapping[str, Any]:
    """Return the fields of a table, read already or not; of another value none."""
    if isinstance(table, _Table):
        return vars(table)
    return table if isinstance(table, Mapping) else {}


def _kind(mind: object) -> str | None:
    kind = _fields(mind).get("kind")
    return f"{TAG}{kind}" if isinstance(kind, str) else None


def _way(tool: object) -> str | None:
    """Return by what a tool is reached; None for a table that says neither."""
    ways = [way for way in ("mcp", "http") if way in _fields(tool)]
    return f"{TAG}{ways[0]}" if len(ways) == 1 else None


Tool = Annotated[
    Annotated[McpTools, Tag(f"{TAG}mcp")] | Annotated[HttpFunction, Tag(f"{TAG}http")],
    Discriminator(
        _way,
        custom_error_type="tool",
        custom_error_message="expected either `mcp`, an address or a command, or `http`",
    ),
]


def _written(sentence: str) -> str:
    """Return a sentence with a capital and a mark, as Whisper is to write the next one."""
    is_question = sentence.split(" ")[0].casefold() in QUESTION_WORDS
    return f"{sentence[:1].upper()}{sentence[1:]}{'?' if is_question else '.'}"


class ChatMind(_Mind):
    """A mind that asks a language model, which may call tools."""

    kind: Literal["chat"]
    prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, max_length=PROMPT_LIMIT), Clean
    ] = ""  # facts and rules for the mind alone, beside the persona's prompt
    fillers: Annotated[tuple[Sentence, ...], Field(max_length=20)] = ()  # while a tool runs long
    tools: Annotated[tuple[Tool, ...], Field(max_length=TOOLS_LIMIT)] = ()


Mind = Annotated[
    Annotated[LinesMind, Tag(f"{TAG}lines")] | Annotated[ChatMind, Tag(f"{TAG}chat")],
    Discriminator(
        _kind,
        custom_error_type="mind",
        custom_error_message='expected kind = "lines" or kind = "chat"',
    ),
]
MIND: TypeAdapter[LinesMind | ChatMind] = TypeAdapter(Mind)
MindTables = Mapping[str, LinesMind | ChatMind]


def read_mind(table: object, source: str) -> LinesMind | ChatMind:
    """Read a table `[mind]`. Raises `InvalidInput` naming `source` and the field."""
    try:
        return MIND.validate_python(table)
    except ValidationError as error:
        # A value may be a key that does not belong there.
        raise InvalidInput(f"{source}: {explain(error, hide_values=True)}") from None


def load_minds(persona_files: Iterable[Path], model: str = "") -> MindTables:
    """Read the minds that persona files define for a model, each under its file's name.

    Raises `InvalidInput` naming the file and the field.
    """
    minds = minds_in({path: read_toml(path, path.name) for path in persona_files})
    return {name: mind for name, mind in minds.items() if mind.suits(model)}


def minds_in(persona_files: Mapping[Path, Mapping[str, Any]]) -> MindTables:
    """Return the minds that the fields of persona files define, each under its file's name.

    Raises `InvalidInput` naming the file and the field.
    """
    return {
        path.stem: read_mind(fields["mind"], f"{path.name}: mind")
        for path, fields in persona_files.items()
        if isinstance(fields.get("mind"), dict)
    }
