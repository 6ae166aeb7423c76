"""One answer of a mind of kind `chat`: calls of the model and of functions, until it has spoken."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from openai import AsyncOpenAI

from mind.events import ToolEnded, ToolStarted
from mind.limits import CallBudget, Limits, cut
from mind.model.completion import (
    TOO_LONG,
    Call,
    Completion,
    Flood,
    Nonsense,
    pieces,
)
from mind.model.instructions import OWN_FUNCTIONS, first_messages, result_message
from mind.model.trouble import Busy, Late
from mind.tools.function import LEAVE, SAY, Function, ToolFailed
from mind.words.sentences import SentenceSplitter
from mind.words.thoughts import Thoughts
from protocol.room_spec import PersonaSpec

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A language model at an endpoint."""

    client: AsyncOpenAI
    name: str


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where an answer goes: a sentence to say, a filler while a tool runs long, tool events."""

    say: Callable[[str], None]
    fill: Callable[[], None]
    report: Callable[[ToolStarted | ToolEnded], None]
    called: Callable[[str, str], None]  # a call's id, and its function with the arguments
    ended: Callable[[str, bool], None]  # a call's id, and whether it gave a result


class ModelAnswer:
    """One answer to the transcript's last line. Cancel the task that runs it to stop it."""

    def __init__(
        self,
        model: ChatModel,
        functions: Mapping[str, Function],
        persona: PersonaSpec,
        limits: Limits,
        budget: CallBudget,
        outlet: Outlet,
    ) -> None:
        """`budget` is the room's."""
        self._model = model
        self._functions = functions
        self._persona = persona
        self._limits = limits
        self._budget = budget
        self._outlet = outlet
        self._thinks_unmarked = False  # the model writes no beginnings of thoughts
        self._characters = 0
        self._said: dict[str, SentenceSplitter] = {}  # sentences, by where they came from
        self._called: set[str] = set()  # each function with its arguments

    async def run(self, facts: str, transcript: str, *, typed: bool) -> None:
        """Ask the model and call functions until it speaks or leaves the talking to the voice.

        `typed`: the transcript's last line was typed.
        Raises `Busy`, `Flood`, `Late`, `Nonsense`, `TimeoutError` and the client's own errors.
        """
        messages = first_messages(self._persona, facts, transcript, typed=typed)
        whole = asyncio.timeout(self._limits.answer_within_s)
        try:
            async with whole:
                await self._think(messages)
        except TimeoutError:
            if whole.expired():
                raise Late from None
            raise

    async def _think(self, messages: list[dict[str, Any]]) -> None:
        for left in reversed(range(self._limits.rounds)):
            # The last call of the model can read no more results.
            completion = await self._ask(messages, self._functions if left else {})
            calls = [call for call in completion.calls if call.name not in (SAY, LEAVE)]
            if not calls:
                return
            if not left:
                return log.info("mind_gave_up", rounds=self._limits.rounds)
            results = await self._call_all(calls)
            messages.append(completion.as_message())
            for call in completion.calls:
                text, ok = results.get(call.id, ("done", True))
                messages.append(result_message(call.id, text, ok))

    async def _ask(
        self, messages: list[dict[str, Any]], offered: Mapping[str, Function]
    ) -> Completion:
        """Call the model once; pass its text on as it streams in."""
        if not self._budget.take():
            raise Busy
        completion, thoughts = Completion(), Thoughts(is_begun=self._thinks_unmarked)
        by_say, as_text = SentenceSplitter(), SentenceSplitter()
        functions = [*OWN_FUNCTIONS, *(each.described() for each in offered.values())]
        async with (
            asyncio.timeout(self._limits.call_within_s),
            aclosing(pieces(self._model.client, self._model.name, messages, functions)) as stream,
        ):
            async for piece in stream:
                said, text = completion.add(piece)
                text = thoughts.left_out(text)
                if thoughts.lacks_beginning and not self._thinks_unmarked:
                    self._thinks_unmarked = True
                    as_text.finish()  # a thought, too
                # Models told a function's result often forget `say`. Before it, text outside
                # `say` is small talk or thinking, and the voice's own talk is better.
                self._give(by_say.add(said), by_say)
                self._give(as_text.add(text if self._called else ""), as_text)
        if completion.is_cut:  # a sentence or a call that lacks its end may mean something else
            raise Flood if completion.end == TOO_LONG else Nonsense
        if self._called:
            self._give(as_text.add(thoughts.finish()), as_text)
        for splitter in (by_say, as_text):
            self._give(splitter.finish(), splitter)
        if not completion.is_answer or any(_is_broken(call) for call in completion.calls):
            raise Nonsense
        return completion

    def _give(self, sentences: list[str], source: SentenceSplitter) -> None:
        """Say sentences, but for those that came from elsewhere before.

        Models write as text what they have `say` say, and say it again after a function.
        """
        for sentence in sentences:
            self._characters += len(sentence)
            if self._characters > self._limits.answer_characters:
                raise Flood
            if self._said.setdefault(sentence, source) is source:
                self._outlet.say(sentence)

    async def _call_all(self, calls: list[Call]) -> dict[str, tuple[str, bool]]:
        """Call functions side by side; return each call's result and whether it worked."""
        timer = asyncio.get_running_loop().call_later(
            self._limits.filler_after_s, self._outlet.fill
        )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {call.id: group.create_task(self._call(call)) for call in calls}
        finally:
            timer.cancel()
        return {call_id: task.result() for call_id, task in tasks.items()}

    async def _call(self, call: Call) -> tuple[str, bool]:
        function = self._functions.get(call.name)
        arguments = call.read_arguments()
        if function is None:
            return f"There is no function {cut(call.name, 64)}.", False
        if arguments is None:
            return "The arguments are no JSON object.", False
        key = f"{call.name} {json.dumps(arguments, sort_keys=True)}"
        if key in self._called:
            return "This call was made before; its result is above.", False
        if len(self._called) >= self._limits.tool_calls:
            return "No more calls for this answer. Say what is known.", False
        self._called.add(key)
        return await self._run(function, arguments)

    async def _run(self, function: Function, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """Run a function within its time, with an event before and after."""
        call_id, begun_s, ok = uuid.uuid4().hex, time.monotonic(), False
        self._outlet.report(ToolStarted(call_id, self._persona.id, function.name))
        asked = json.dumps(arguments, ensure_ascii=False)
        self._outlet.called(call_id, f"{function.name} {asked}")
        try:
            async with asyncio.timeout(function.within_s):
                text = await function.call(arguments)
            ok = True
        except ToolFailed as failure:
            text = str(failure)
        except TimeoutError:
            text = "The function took too long."
        except Exception as error:  # of a library below: the conversation goes on
            log.warning("tool_failed", tool=function.name, error=type(error).__name__)
            text = "The function failed."
        finally:
            took_ms = round((time.monotonic() - begun_s) * 1000)
            ended = ToolEnded(call_id, self._persona.id, function.name, took_ms, ok)
            self._outlet.report(ended)
        self._outlet.ended(call_id, ok)
        return cut(text, self._limits.result_characters), ok


def _is_broken(call: Call) -> bool:
    """Return whether a call of `say` had no text that could be read."""
    return call.name == SAY and not call.said and call.read_arguments() is None
