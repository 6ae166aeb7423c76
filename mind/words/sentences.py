"""Text that streams in, cut into sentences that a voice can say. Pure."""

import re
import unicodedata

from protocol.commands import LINE_LIMIT
from protocol.text import clean_line

# Words before whose period no sentence ends. A single letter counts as one: "J. S. Bach".
ABBREVIATIONS = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "approx", "dept"))
DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}")  # p.m, U.S, e.g, Ph.D
# Chinese and Japanese have no space after a sentence.
END = re.compile(r"[.!?…]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+|\n+")
PATH = r"(?:[/?#](?:[^\s)\]>]*[^\s)\]>.,;:!?])?)?"  # of an address
# What a voice cannot say, and what it says instead, in this order.
SPOKEN = tuple(
    (re.compile(pattern, re.MULTILINE), instead)
    for pattern, instead in (
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),  # links and pictures
        (rf"\bhttps?://(?:www\.)?([\w.-]*\w)(?::\d+)?{PATH}", r"\1"),
        (r"</?(?:b|i|em|strong|br|p|ul|ol|li|u|code|pre|a|span|div|sub|sup|h\d)\b[^<>]*>", " "),
        (r"^\s*```\w*|^\s*[-•>]\s+|^\s*\|?[\s|:-]*$|^\s*\||\|\s*$", ""),  # fences, lists, tables
        (r"\s*\|\s*", ", "),
        (r"(?<=\d)\s*[*\u00d7]\s*(?=\d)", " times "),
        (r"~(?=\d)", "about "),
        (r"#(?=\d)", "number "),
        (r"(?<=\w)_(?=\w)", " "),
        (r"[*_`#~]+", ""),
    )
)
PICTURES = frozenset(("So", "Me", "Cf", "Co", "Cn"))  # categories of emoji and their parts
PICTURE_PARTS = frozenset((*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0x1F3FB, 0x1F400))))
PICTURE = "\0"
LEFT_OUT = re.compile(rf"\s*{PICTURE}+(?=\s*[.,!?;:])|{PICTURE}")  # "Hello \0!" is "Hello!"
SAID_SYMBOLS = frozenset("°№")
SOFT_BREAKS = (";", ":", ",", " ")  # where a sentence that is too long is cut, the best first


def speakable(text: str) -> str:
    """Return text in one line without control characters, Markdown, addresses' paths, and emoji."""
    for pattern, instead in SPOKEN:
        text = pattern.sub(instead, text)
    text = "".join(each if _is_said(each) else PICTURE for each in clean_line(text))
    return " ".join(LEFT_OUT.sub("", text).split())


def _is_said(character: str) -> bool:
    """Return whether a character is no picture and no part of one."""
    if character in SAID_SYMBOLS:
        return True
    return character not in PICTURE_PARTS and unicodedata.category(character) not in PICTURES


class SentenceSplitter:
    """Collects pieces of text and gives each sentence as soon as it is surely complete.

    A sentence is complete when white space follows its end, so "3.50" and "e.g." cut none.
    """

    def __init__(self, longest: int = LINE_LIMIT) -> None:
        """No sentence has more than `longest` characters."""
        self._longest = longest
        self._rest = ""

    def add(self, piece: str) -> list[str]:
        """Add text; return the sentences that it completes."""
        self._rest += piece
        sentences: list[str] = []
        begin = 0
        for end in END.finditer(self._rest):
            candidate = self._rest[begin : end.end()]
            if _ends_a_sentence(candidate):
                sentences += self._cut(candidate)
                begin = end.end()
        self._rest = self._rest[begin:]
        while len(self._rest) > 2 * self._longest:
            first, self._rest = _break_off(self._rest, self._longest)
            sentences += self._cut(first)
        return sentences

    def finish(self) -> list[str]:
        """Return the rest as sentences, complete or not."""
        rest, self._rest = self._rest, ""
        return self._cut(rest)

    def _cut(self, text: str) -> list[str]:
        """Return text as sentences of bounded length; none where it has no letter or digit."""
        text = speakable(text)
        parts: list[str] = []
        while len(text) > self._longest:
            first, text = _break_off(text, self._longest)
            parts.append(first.strip())
        parts.append(text.strip())
        return [part for part in parts if any(map(str.isalnum, part))]


def _ends_a_sentence(text: str) -> bool:
    """Return whether the end that was found is one, or belongs to an abbreviation or a number."""
    if not text.endswith("."):
        return True
    words = text[:-1].split()
    last = words[-1].lstrip("(\"'\u201c\u2018").lower() if words else ""
    is_list_number = len(words) == 1 and last.isdigit()
    is_short = last in ABBREVIATIONS or (len(last) == 1 and last.isalpha())
    return not (is_short or is_list_number or DOTTED.fullmatch(last))


def _break_off(text: str, longest: int) -> tuple[str, str]:
    """Cut a text that is too long, after its last comma or space within the limit."""
    for mark in SOFT_BREAKS:
        place = text.rfind(mark, longest // 2, longest)
        if place > 0:
            return text[: place + 1], text[place + 1 :]
    return text[:longest], text[longest:]
