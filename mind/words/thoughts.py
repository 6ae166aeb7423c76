"""Thoughts of a language model in its text, between `<think>` and `</think>`. Pure.

Models that think (Qwen, DeepSeek) write them so where their server does not take them out.
"""

BEGIN, END = "<think>", "</think>"


class Thoughts:
    """Leaves thoughts out of text that streams in."""

    def __init__(self) -> None:
        """Begin outside of a thought."""
        self._mark = BEGIN  # the next one
        self._held = ""  # may be the beginning of a mark

    def left_out(self, piece: str) -> str:
        """Add a piece of text; give what is no thought."""
        text, given = self._held + piece, ""
        while (place := text.find(self._mark)) >= 0:
            given += text[:place] if self._mark == BEGIN else ""
            text = text[place + len(self._mark) :]
            self._mark = END if self._mark == BEGIN else BEGIN
        begun = next(n for n in range(len(self._mark) - 1, -1, -1) if text.endswith(self._mark[:n]))
        self._held = text[len(text) - begun :]
        return given + (text[: len(text) - begun] if self._mark == BEGIN else "")
