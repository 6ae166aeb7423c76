"""One streamed answer of a language model: its text as it streams in, and its calls of functions.

Knows OpenAI's chat completions as servers really stream them: arguments in pieces (OpenAI, vLLM) or
whole (Ollama), calls without an id, several calls under one index.
"""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from pydantic_core import from_json

SAY, LEAVE = "say", "leave_to_voice"
CALLS_LIMIT = 16
TEXT_LIMIT = 20_000  # characters of one call's arguments, or of text outside calls


class Nonsense(Exception):
    """The server's answer cannot be read."""


class Flood(Exception):
    """The model's answer is much longer than any that is of use."""


@dataclass(slots=True)
class Call:
    """A function's name and arguments, as far as they have come."""

    id: str
    name: str = ""
    arguments: str = ""
    said: str = ""  # of `say`: the text so far

    def read_arguments(self) -> dict[str, Any] | None:
        """Give the arguments once they are complete; None: they are no JSON object."""
        try:
            arguments = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return None
        return arguments if isinstance(arguments, dict) else None


@dataclass(slots=True)
class Completion:
    """One answer, put together from its pieces."""

    calls: list[Call] = field(default_factory=list[Call])
    text: str = ""  # outside of calls
    is_answer: bool = False  # at least one piece could be read
    _open: dict[int, Call] = field(default_factory=dict[int, Call])

    def add(self, chunk: ChatCompletionChunk) -> tuple[str, str]:
        """Add a piece; give what `say` says more, and the text outside calls.

        Raises `Nonsense` and `Flood`.
        """
        try:
            return self._add(chunk)
        # The client checks no types: a server may have sent anything.
        except (AttributeError, TypeError, IndexError, KeyError, ValueError) as error:
            raise Nonsense(type(error).__name__) from None

    def as_message(self) -> dict[str, Any]:
        """Give the answer as the next request repeats it to the model."""
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
        more = delta.content or ""
        self.text += more
        said = "".join(self._add_call(piece) for piece in delta.tool_calls or ())
        longest = max([len(self.text), *(len(call.arguments) for call in self.calls)])
        if longest > TEXT_LIMIT or len(self.calls) > CALLS_LIMIT:
            raise Flood
        return said, more

    def _add_call(self, piece: ChoiceDeltaToolCall) -> str:
        call = self._open.get(piece.index)
        if call is None or (piece.id and piece.id != call.id):
            call = Call(piece.id or f"call_{len(self.calls)}")
            self._open[piece.index] = call
            self.calls.append(call)
        if piece.function is not None:
            call.name += piece.function.name or ""
            call.arguments += piece.function.arguments or ""
        return _said_more(call) if call.name == SAY else ""


def _said_more(call: Call) -> str:
    """Give the text that `say`'s incomplete arguments hold beyond what was given before."""
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
    """Ask a model once and give its answer piece by piece. Raises the client's errors."""
    asked: dict[str, Any] = {"messages": list(messages)}
    if tools := list(functions):  # servers refuse an empty list
        asked["tools"] = tools
    stream = await client.chat.completions.create(model=model, stream=True, **asked)
    async with stream:
        async for chunk in stream:
            yield chunk
