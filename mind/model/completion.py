"""One streamed answer of a language model: its text as it streams in, and its calls of functions.

Knows OpenAI's chat completions as servers really stream them: arguments in pieces (OpenAI, vLLM) or
whole (Ollama), calls without an id, several calls under one index or one id, names told again.
"""

import json
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from pydantic_core import from_json

from mind.tools.function import SAY

TOO_LONG = "length"  # why a server ended an answer: it has a limit of its own
CALLS_LIMIT = 16
TEXT_LIMIT = 20_000  # characters of one call's arguments, or of text outside calls


class Nonsense(Exception):
    """The server's answer cannot be read."""


class Flood(Exception):
    """The model's answer is much longer than any that is of use."""


@dataclass(slots=True)
class Call:
    """A function's name and arguments, as far as they have come."""

    id: str  # no other call of the answer has it
    sent_id: str = ""  # by the server
    name: str = ""
    arguments: str = ""
    said: str = ""  # of `say`: the text so far

    def read_arguments(self) -> dict[str, Any] | None:
        """Return the arguments once they are complete; None: they are no JSON object."""
        try:
            arguments = json.loads(self.arguments or "{}")
            json.dumps(arguments, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError):
            return None
        return arguments if isinstance(arguments, dict) else None

    @property
    def is_whole(self) -> bool:
        """Return whether the arguments are there and complete."""
        return bool(self.arguments) and self.read_arguments() is not None


@dataclass(slots=True)
class Completion:
    """One answer, put together from its pieces."""

    calls: list[Call] = field(default_factory=list[Call])
    text: str = ""  # outside of calls
    is_answer: bool = False  # at least one piece could be read
    end: str | None = None  # why the server ended it; None: it has not
    _open: dict[int, Call] = field(default_factory=dict[int, Call])
    _speaking: Call | None = None  # the call of `say` that said something last

    def add(self, chunk: ChatCompletionChunk) -> tuple[str, str]:
        """Add a piece; return what `say` says more, and the text outside calls.

        Raises `Nonsense` and `Flood`.
        """
        try:
            return self._add(chunk)
        # The client checks no types: a server may have sent anything.
        except (AttributeError, TypeError, IndexError, KeyError, ValueError) as error:
            raise Nonsense(type(error).__name__) from None

    @property
    def is_cut(self) -> bool:
        """Return whether its end is missing. A server may leave out why a whole call ended."""
        return self.end in (None, TOO_LONG) and not (self.calls and self.calls[-1].is_whole)

    def as_message(self) -> dict[str, Any]:
        """Return the answer as the next request repeats it to the model."""
        calls = [
            {
                "id": call.id,
                "type": "function",
                # Templates of servers parse the arguments: broken ones would fail the request.
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.read_arguments() or {}),
                },
            }
            for call in self.calls
        ]
        return {"role": "assistant", "content": self.text, "tool_calls": calls}

    def _add(self, chunk: ChatCompletionChunk) -> tuple[str, str]:
        if not chunk.choices:  # the last piece, with the usage
            return "", ""
        delta = chunk.choices[0].delta
        self.is_answer = True
        self.end = getattr(chunk.choices[0], "finish_reason", None) or self.end
        more = _speakable(delta.content or "")
        self.text += more
        said = "".join(self._add_call(piece) for piece in delta.tool_calls or ())
        longest = max([len(self.text), *(len(call.arguments) for call in self.calls)])
        if longest > TEXT_LIMIT or len(self.calls) > CALLS_LIMIT:
            raise Flood
        return said, more

    def _add_call(self, piece: ChoiceDeltaToolCall) -> str:
        call = self._open.get(piece.index)
        if call is None or _begins_another(piece, call):
            sent_id = piece.id or ""
            is_taken = any(sent_id == each.id for each in self.calls)
            call = Call(_new_id() if is_taken or not sent_id else sent_id, sent_id)
            self._open[piece.index] = call
            self.calls.append(call)
        if piece.function is not None:
            if piece.function.name != call.name:
                call.name += piece.function.name or ""
            call.arguments += _speakable(piece.function.arguments or "")
        more = _said_more(call) if call.name == SAY else ""
        if not more or self._speaking is call:
            return more
        has_spoken, self._speaking = self._speaking is not None, call
        return f"\n{more}" if has_spoken else more  # what another call says is no part of its text


def _begins_another(piece: ChoiceDeltaToolCall, call: Call) -> bool:
    """Return whether a piece under the index of a call belongs to the next one."""
    if piece.id:
        return piece.id != call.sent_id
    function = piece.function
    return bool(function and function.name and function.arguments) and call.is_whole


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:12]}"


def _speakable(text: str) -> str:
    """Return a text without halves of surrogate pairs: a server may cut an emoji in two."""
    return text.encode(errors="ignore").decode()


def _said_more(call: Call) -> str:
    """Return the text that `say`'s incomplete arguments hold beyond what was given before."""
    try:
        arguments = from_json(call.arguments, allow_partial="trailing-strings")
    except ValueError:
        return ""
    text = arguments.get("text") if isinstance(arguments, dict) else None
    if not isinstance(text, str) or not text.startswith(call.said):
        return ""
    more, call.said = text[len(call.said) :], text
    return more


async def pieces(
    client: AsyncOpenAI,
    model: str,
    messages: Iterable[Mapping[str, Any]],
    functions: Iterable[Mapping[str, Any]],
) -> AsyncGenerator[ChatCompletionChunk]:
    """Ask a model once and yield its answer piece by piece. Raises the client's errors."""
    asked: dict[str, Any] = {"messages": list(messages)}
    if tools := list(functions):  # servers refuse an empty list
        asked["tools"] = tools
    stream = await client.chat.completions.create(model=model, stream=True, **asked)
    async with stream:
        async for chunk in stream:
            yield chunk
