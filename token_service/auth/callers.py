"""Callers: an identity with scopes. Pure.

A caller reaches only its own sessions and rooms. All callers without a name are one caller,
`ANYONE`. Strangers among them (from another machine) may not list sessions: they reach a session
only by its id or its room's name, and the service makes up names that cannot be guessed.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network

from token_service.refusals import Refused


class Scope(StrEnum):
    """The rights of a caller over its own sessions; `observe` includes the service's figures."""

    TALK = "talk"  # mint tokens, open sessions
    MANAGE = "manage"  # change and end them, invite guests, revoke tokens
    OBSERVE = "observe"  # list and follow them, status, metrics
    RECORD = "record"  # have them recorded; list, read and delete the recordings


@dataclass(frozen=True, slots=True)
class GuestPass:
    """The session and room that a guest link leads to, and the link's id.

    That of a participant's token has no session.
    """

    id: str
    room: str
    session: str

    @property
    def is_participants(self) -> bool:
        """Tell whether it is a participant's token."""
        return not self.session


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. `id` owns the sessions; a guest acts for the session's owner."""

    id: str
    scopes: frozenset[Scope] = field(default_factory=lambda: frozenset(Scope))
    guest: GuestPass | None = None
    address: str = ""
    is_stranger: bool = False  # one of `ANYONE`, from another machine

    @property
    def is_named(self) -> bool:
        """Tell whether the caller has an identity of its own."""
        return self.id != ANYONE.id

    @property
    def is_own(self) -> bool:
        """Tell whether this machine calls without a name; such callers have no quotas."""
        return not self.is_named and not self.is_stranger

    @property
    def counted_as(self) -> str:
        """Return the key of the caller's quotas: guests count by link, strangers by address."""
        if self.guest is not None:
            return f"guest {self.guest.id}"
        return self.id if self.is_named else f"{self.id} {network_of(self.address)}"

    def require(self, scope: Scope) -> None:
        """Raise `Refused` if the caller lacks the scope."""
        if scope not in self.scopes:
            sentence = f"The scope {scope.value!r} is required."
            raise Refused(HTTPStatus.FORBIDDEN, "scope_missing", sentence)


ANYONE = Caller("anyone")
STRANGERS = frozenset(Scope) - {Scope.RECORD}  # the scopes of `ANYONE` from another machine


def network_of(address: str) -> str:
    """Return the address that one household has: of IPv4 all of it, of IPv6 the /64."""
    try:
        number = IPv6Address(address)
    except ValueError:
        return address
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return str(IPv6Network((int(number), 64), strict=False))
