"""Texts out of redis, parsed once: those that did not change since the last time are kept."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Parsed(Generic[T]):
    """The values of the latest texts, by name."""

    def __init__(self, parse: Callable[[str], T | None]) -> None:
        """`parse` returns None for a text that it cannot read."""
        self._parse = parse
        self._kept: dict[str, tuple[str, T | None]] = {}

    def of(self, texts: Mapping[str, str]) -> dict[str, T]:
        """Return the values of texts in their order; unchanged texts are not parsed again."""
        old = self._kept
        self._kept = {
            name: kept if (kept := old.get(name)) and kept[0] == text else (text, self._parse(text))
            for name, text in texts.items()
        }
        return {name: value for name, (_, value) in self._kept.items() if value is not None}
