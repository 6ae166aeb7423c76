"""Chooses the recogniser that `STT` names."""

from collections.abc import Callable

from protocol.heartbeat import SpeechRecognition
from worker.engine.recognition.listeners import Recognition
from worker.hearing.kyutai import KyutaiRecogniser
from worker.hearing.messages import Progress
from worker.hearing.recogniser import Recogniser
from worker.hearing.whisper import Whisper

WHISPER = "Systran/faster-whisper-tiny.en"  # 75 MB, English as the voices; licence: MIT
OFF = "The words of people are not written: STT is off."


def start_recogniser(
    stt: str,
    on_change: Callable[[SpeechRecognition], None],
    recognition: Recognition | None,
) -> Recogniser | None:
    """Start what `STT` names and return at once; None for `off`.

    `on_change` gets the state now and whenever it changes, also on a thread. `recognition` is the
    one that the engine has loaded, which goes before Whisper.
    """
    if recognition is not None:
        people = recognition.listeners.capacity
        reason = f"Up to {people} people at a time, in the engine's own batch."
        on_change(SpeechRecognition(state="ready", model=recognition.name, reason=reason))
        return KyutaiRecogniser(recognition)
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
