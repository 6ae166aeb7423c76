"""How soon a persona answers a WebSocket client, for the metric that rooms fill as well."""

import asyncio

from worker.engine.arrays import Pcm
from worker.metrics import TURN_S
from worker.sound.activity import PeopleSpeech, TurnTimer, VoiceActivity


class TurnMeter:
    """Measures the turns of one conversation. Runs on the loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer = TurnTimer()
        self._voice = VoiceActivity()
        self._speech = PeopleSpeech(self._timer.people_started, self._on_person_ended)

    def heard(self, pcm: Pcm) -> None:
        self._speech.push(pcm)

    def said(self, pcm: Pcm) -> None:
        if not self._voice.push(pcm):
            return
        if self._voice.is_speaking:
            _observe(self._timer.persona_started(self._loop.time()))
        else:
            self._timer.persona_paused()

    def _on_person_ended(self, at_s: float) -> None:
        _observe(self._timer.people_ended(at_s))


def _observe(latency_s: float | None) -> None:
    if latency_s is not None:
        TURN_S.observe(latency_s)
