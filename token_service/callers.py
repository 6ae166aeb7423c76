"""Who calls: an identity, and what it may do. Pure.

A caller reaches only its own sessions and rooms. Who calls without a name, where that is allowed,
is one caller: nobody is told apart from anybody.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from token_service.problems import Refused


class Scope(StrEnum):
    """What a caller may do with its own sessions; `observe` also sees the service's figures."""

    TALK = "talk"  # mint tokens, open sessions
    MANAGE = "manage"  # change and end them, invite guests, revoke tokens
    OBSERVE = "observe"  # list and follow them, status, metrics


@dataclass(frozen=True, slots=True)
class GuestPass:
    """What a guest's link allows: one room, so many people."""

    id: str
    room: str
    session: str
    people: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls. `id` owns what is opened; a guest acts for the one who invited."""

    id: str
    scopes: frozenset[Scope] = field(default_factory=lambda: frozenset(Scope))
    guest: GuestPass | None = None
    address: str = ""

    @property
    def is_named(self) -> bool:
        """Whether this is somebody in particular."""
        return self.id != ANYONE.id

    def require(self, scope: Scope) -> None:
        """Raise `Refused` where the caller may not do so."""
        if scope not in self.scopes:
            raise Refused(
                HTTPStatus.FORBIDDEN, "scope_missing", f"This needs the scope {scope.value!r}."
            )


ANYONE = Caller("anyone")
