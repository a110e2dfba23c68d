"""How often what may be tried, each number stated once.

Every limit counts attempts before anything is looked at. Those on one account are forgotten when
its owner proves to be there; those on a network are not, or an attacker could log into an account
of their own between guesses.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto


class Success(Enum):
    """What becomes of the count when the attempt succeeds."""

    COUNTS = auto()
    """The attempt itself is what is limited."""
    GIVES_BACK = auto()
    """Failures are limited: this one is given back."""
    CLEARS = auto()
    """Failures in a row are limited: all are forgotten."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts at once, and then one each time that a share of the period has passed."""

    name: str
    quota: int
    period: timedelta
    success: Success = Success.COUNTS

    @property
    def step(self) -> timedelta:
        """How long one attempt takes to be forgotten."""
        return self.period / self.quota

    @property
    def per_site(self) -> "Limit":
        """The same limit for an IPv6 /48, with ten times the quota."""
        return replace(self, name=f"{self.name}.site", quota=10 * self.quota)

    @property
    def given_back(self) -> timedelta:
        """How much a success forgets at once."""
        shares = {Success.GIVES_BACK: self.step, Success.CLEARS: self.period}
        return shares.get(self.success, timedelta(0))


_MINUTE, _HOUR, _MONTH = timedelta(minutes=1), timedelta(hours=1), timedelta(days=30)

# django-allauth allows 5 failures in 5 minutes for a login from one address, 30 logins and 10
# failures a minute for an address; PyPI 1000 failures in 5 minutes for everybody.
LOGIN = Limit("login", 5, 5 * _MINUTE, Success.CLEARS)
LOGIN_ACCOUNT = Limit("login.account", 20, _HOUR, Success.CLEARS)
# NIST SP 800-63B section 3.2.2: no more than 100 failures in a row. Then one in seven hours.
LOGIN_IN_A_ROW = Limit("login.in_a_row", 100, _MONTH, Success.CLEARS)
LOGIN_FAILURES = Limit("login.failures", 10, _MINUTE, Success.GIVES_BACK)
LOGIN_NETWORK = Limit("login.network", 30, _MINUTE)
LOGIN_EVERYBODY = Limit("login.everybody", 1000, 5 * _MINUTE, Success.GIVES_BACK)
REGISTER = Limit("register", 20, _MINUTE)
# So that a burst of tabs is served, all with the same successor.
REFRESH = Limit("refresh", 60, _MINUTE)
REFRESH_SESSION = Limit("refresh.session", 60, _MINUTE)
CHANGE_PASSWORD = Limit("password", 5, _MINUTE)
DELETE_ACCOUNT = Limit("delete_account", 10, _MINUTE)
# Of both together: whoever has stolen a session guesses no faster with it than without.
REAUTH = Limit("reauth", 20, _HOUR, Success.CLEARS)
# What is put on record of refusals, or whoever is refused could fill the disk.
TRIPPED = Limit("audit.tripped", 1, 5 * _MINUTE)
UNKNOWN = Limit("audit.unknown", 1, 5 * _MINUTE)
DENIED = Limit("audit.denied", 10, _MINUTE)
