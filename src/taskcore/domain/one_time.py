"""One-time passwords, which an administrator hands to a user who has forgotten theirs.

A login with one only replaces it by a password of the user's own. What is stored for it is a hash
with a mark in front, so that code which does not look for the mark takes the password for a wrong
one, as does a server of a release that knows none.
"""

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

LIFETIME = timedelta(hours=24)
# Without letters and digits that look alike. Three groups of five have 74 random bits.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_GROUPS, _GROUP = 3, 5
_MARKED = re.compile(r"one-time:([0-9]{1,11}):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OneTimePassword:
    """For the user, by a way that the administrator trusts. `repr` leaves the password out."""

    password: str = field(repr=False)
    expires_at: datetime


def new(now: datetime) -> OneTimePassword:
    groups = ("".join(map(secrets.choice, [_ALPHABET] * _GROUP)) for _ in range(_GROUPS))
    return OneTimePassword("-".join(groups), (now + LIFETIME).replace(microsecond=0))


def marked(password_hash: str, expires_at: datetime) -> str:
    """What is stored for a one-time password of that hash."""
    return f"one-time:{int(expires_at.timestamp())}:{password_hash}"


def unmarked(stored: str) -> tuple[str, datetime | None]:
    """The hash itself, and when the password expires; None for one that is no one-time password."""
    match = _MARKED.fullmatch(stored)
    if match is None:
        return stored, None
    return match[2], datetime.fromtimestamp(int(match[1]), UTC)
