"""The bytes of a file that a client asks for, by HTTP's header `Range`. Pure."""

import re
from dataclasses import dataclass

ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class RangeBeyond(ValueError):
    """Raised for a range that has no byte of its file."""

    def __init__(self, size: int) -> None:
        super().__init__(f"Range: expected one within {size} bytes")
        self.size = size


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `first` to `last`; without a `first` the `last` so many of the file."""

    first: int | None = 0
    last: int | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether it is the whole file, whatever its size."""
        return self.first == 0 and self.last is None

    def within(self, size: int) -> tuple[int, int]:
        """Return begin and end of the bytes of a file. Raises `RangeBeyond`."""
        if self.first is None:
            begin, end = max(size - (self.last or 0), 0), size
        else:
            begin, end = self.first, size if self.last is None else min(self.last + 1, size)
        if begin >= end and not (self.is_whole and size == 0):
            raise RangeBeyond(size)
        return begin, end


WHOLE = ByteRange()


def range_of(header: str) -> ByteRange:
    """Return the range that a header names; the whole for several ranges, or a wrong header."""
    found = ONE_RANGE.fullmatch(header.strip())
    if found is None or found[0] == "bytes=-":
        return WHOLE
    first, last = (int(each) if each else None for each in found.groups())
    is_reversed = first is not None and last is not None and first > last
    return WHOLE if is_reversed else ByteRange(first, last)
