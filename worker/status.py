"""The state of this worker, for its health endpoint, heartbeat and log."""

import uuid

import structlog

from protocol.heartbeat import SpeechRecognition, WorkerState
from protocol.sampling import UsualSampling

log = structlog.get_logger(__name__)


class PublishedStatus:
    """The worker's state with its reason, and what is known of its model.

    Written on the main loop, read on any thread.
    """

    def __init__(self, model: str) -> None:
        self.worker_id = f"worker-{uuid.uuid4().hex[:12]}"
        self.state: WorkerState = "starting"
        self.reason = ""
        self.model = model
        self.model_note = ""
        self.keys_and_values = ""
        self.model_prompts = False
        self.prompt_tokens = 0
        self.tokenizer = b""
        self.model_sampling = UsualSampling()
        self.voices: tuple[str, ...] = ()
        self.chat_url = ""
        self.lines: dict[str, tuple[str, ...]] | None = None
        self.stt = SpeechRecognition()

    def change(self, state: WorkerState, reason: str = "") -> None:
        """Set state and reason, and log them where they differ from before."""
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        log.info("worker_state", state=state, reason=reason)

    def change_stt(self, stt: SpeechRecognition) -> None:
        """Set and log whether people's words are written."""
        self.stt = stt
        tell = log.warning if stt.state == "failed" else log.info
        tell("people_words", state=stt.state, model=stt.model, reason=stt.reason)
