"""Chooses the recogniser that `STT` names."""

from collections.abc import Callable

from protocol.heartbeat import SpeechRecognition
from worker.hearing.messages import Progress
from worker.hearing.recogniser import Recogniser
from worker.hearing.whisper import Whisper

WHISPER = "Systran/faster-whisper-tiny.en"  # 75 MB, English as the voices; licence: MIT
OFF = "The words of people are not written: STT is off."


def start_recogniser(stt: str, on_change: Callable[[SpeechRecognition], None]) -> Recogniser | None:
    """Start what `STT` names and return at once; None for `off`.

    `on_change` gets the state now and whenever it changes, also on a thread.
    """
    if stt == "off":
        on_change(SpeechRecognition(reason=OFF))
        return None
    model = WHISPER if stt in ("auto", "whisper") else stt

    def on_progress(progress: Progress) -> None:
        reason = progress.detail
        if progress.state == "failed":
            reason = f"The words of people are not written: {reason}."
        on_change(SpeechRecognition(state=progress.state, model=model, reason=reason))

    whisper = Whisper(model, on_progress)
    whisper.start()
    return whisper
