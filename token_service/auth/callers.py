"""Who calls: an identity, and what it may do. Pure.

A caller reaches only its own sessions and rooms. Who calls without a name, where that is allowed,
is one caller: nobody is told apart from anybody. Strangers among them, who do not call from this
machine, are given no list: they reach what they know the room or the id of. Those that are made up
nobody guesses.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus

from protocol.config.addresses import network_of
from token_service.errors import Refused


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
    is_stranger: bool = False  # one of `ANYONE`, from elsewhere

    @property
    def is_named(self) -> bool:
        """Whether this is somebody in particular."""
        return self.id != ANYONE.id

    @property
    def is_own(self) -> bool:
        """Whether this machine itself calls, where that needs no name: its share has no limit."""
        return not self.is_named and not self.is_stranger

    @property
    def counted_as(self) -> str:
        """Whose share is used up: a guest's link's and not their host's, a stranger's address's."""
        if self.guest is not None:
            return f"guest {self.guest.id}"
        return self.id if self.is_named else f"{self.id} {network_of(self.address)}"

    def require(self, scope: Scope) -> None:
        """Raise `Refused` where the caller may not do so."""
        if scope not in self.scopes:
            raise Refused(
                HTTPStatus.FORBIDDEN, "scope_missing", f"This needs the scope {scope.value!r}."
            )


ANYONE = Caller("anyone")
