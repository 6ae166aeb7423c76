"""The state and model of this worker, for its health endpoint, heartbeat and log."""

import uuid
from typing import Any

import structlog

from protocol.heartbeat import MEMORY_FORMAT, Heartbeat, SpeechRecognition, WorkerState
from protocol.prompt import digest_of
from worker.engine.model import Model

log = structlog.get_logger(__name__)


class PublishedStatus:
    """The heartbeat but for slots and rooms. Written on the main loop, read on any thread."""

    def __init__(self, model: str) -> None:
        self.worker_id = f"worker-{uuid.uuid4().hex[:12]}"
        self.heartbeat = Heartbeat(
            worker_id=self.worker_id, state="starting", model=model, memory_format=MEMORY_FORMAT
        )
        self.tokenizer = b""

    def update(self, **fields: Any) -> None:
        """Change fields of the heartbeat."""
        self.heartbeat = self.heartbeat.model_copy(update=fields)

    def change(self, state: WorkerState, reason: str = "", *, is_fault: bool = False) -> None:
        """Set state and reason, and log them where they differ from before; faults as warnings."""
        if (state, reason) == (self.heartbeat.state, self.heartbeat.reason):
            return
        self.update(state=state, reason=reason)
        tell = log.warning if is_fault else log.info
        tell("worker_state", state=state, reason=reason)

    def change_stt(self, stt: SpeechRecognition) -> None:
        """Set and log whether people's words are written."""
        self.update(stt=stt)
        tell = log.warning if stt.state == "failed" else log.info
        tell("people_words", state=stt.state, model=stt.model, reason=stt.reason)

    def describe(self, model: Model) -> None:
        """Set the fields of the loaded model."""
        self.tokenizer = model.tokenizer
        self.update(
            model=model.name,
            model_note=model.note,
            keys_and_values=model.keys_and_values,
            model_prompts=model.prompts,
            model_sampling=model.sampling,
            prompt_tokens=model.prompt_tokens,
            tokenizer=digest_of(model.tokenizer) if model.tokenizer else "",
            voices=model.voices,
            lines=model.repertoire.by_voice if model.repertoire is not None else None,
        )
        if model.note:
            log.info("model_note", note=model.note)
