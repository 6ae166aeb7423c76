"""Shift a clock for tests: the one with which livekit-api 1.2.1 makes tokens."""

import datetime as real
from types import SimpleNamespace

import pytest
from livekit.api import access_token


def set_ahead(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make tokens some seconds in the future or the past; LiveKit's own clock is right."""

    class Shifted(real.datetime):
        @classmethod
        def now(cls, tz: real.tzinfo | None = None) -> real.datetime:  # type: ignore[override]
            return real.datetime.now(tz) + real.timedelta(seconds=seconds)

    shifted = SimpleNamespace(datetime=Shifted, timedelta=real.timedelta, timezone=real.timezone)
    monkeypatch.setattr(access_token, "datetime", shifted)
