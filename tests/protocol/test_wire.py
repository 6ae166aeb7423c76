"""The names on the wire are those of the page."""

import re

from protocol import wire
from protocol.config.settings import PROJECT

PAGE = PROJECT / "web/src/service/wire.ts"


def test_the_page_has_the_same_names() -> None:
    """Each name in the page's `wire.ts` is in `protocol/wire.py`, with the same value."""
    names = re.findall(r"^export const (\w+) = '(.+)';$", PAGE.read_text(encoding="utf-8"), re.M)

    assert names
    assert dict(names) == {name: getattr(wire, name, None) for name, _ in names}
