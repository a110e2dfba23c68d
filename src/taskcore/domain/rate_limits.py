"""The rate limits, each number stated once.

Every limit counts an attempt before the attempt is examined. A successful login resets the limits
of its account, but not those of its network: otherwise an attacker could reset them by logging in
to an account of their own between guesses.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto


class Success(Enum):
    """What a successful attempt does to the count."""

    COUNTS = auto()
    """Nothing: all attempts are limited."""
    GIVES_BACK = auto()
    """Removes that attempt: only failures are limited."""
    CLEARS = auto()
    """Resets the count: only failures in a row are limited."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`quota` attempts at once, then one more each time that `step` has passed."""

    name: str
    quota: int
    period: timedelta
    success: Success = Success.COUNTS

    @property
    def step(self) -> timedelta:
        """The time after which one attempt counts no more."""
        return self.period / self.quota

    @property
    def per_site(self) -> "Limit":
        """The same limit for an IPv6 /48, with ten times the quota."""
        return replace(self, name=f"{self.name}.site", quota=10 * self.quota)

    @property
    def given_back(self) -> timedelta:
        """How much of the count a success removes."""
        shares = {Success.GIVES_BACK: self.step, Success.CLEARS: self.period}
        return shares.get(self.success, timedelta(0))


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_DAY, _MONTH = timedelta(days=1), timedelta(days=30)

# django-allauth allows 5 failures in 5 minutes for a login from one address, 30 logins and 10
# failures a minute for an address; PyPI 1000 failures in 5 minutes overall.
LOGIN = Limit("login", 5, 5 * _MINUTE, Success.CLEARS)
LOGIN_ACCOUNT = Limit("login.account", 20, _HOUR, Success.CLEARS)
# NIST SP 800-63B section 3.2.2: no more than 100 failures in a row. Then one every seven hours.
LOGIN_IN_A_ROW = Limit("login.in_a_row", 100, _MONTH, Success.CLEARS)
LOGIN_FAILURES = Limit("login.failures", 10, _MINUTE, Success.GIVES_BACK)
LOGIN_NETWORK = Limit("login.network", 30, _MINUTE)
LOGIN_EVERYBODY = Limit("login.everybody", 1000, 5 * _MINUTE, Success.GIVES_BACK)
REGISTER = Limit("register", 20, _MINUTE)
# Allows for a burst of browser tabs, which all get the same successor.
REFRESH = Limit("refresh", 60, _MINUTE)
REFRESH_SESSION = Limit("refresh.session", 60, _MINUTE)
# Each refresh leaves a used token until its session ends, within 30 days. 300 000 of one account
# take PostgreSQL 0.3 s to remove; it ends a statement after 2 s.
REFRESH_ACCOUNT = Limit("refresh.account", 10_000, _DAY)
CHANGE_PASSWORD = Limit("password", 5, _MINUTE)
DELETE_ACCOUNT = Limit("delete_account", 10, _MINUTE)
# Counts for CHANGE_PASSWORD and DELETE_ACCOUNT together: a stolen session must not let an attacker
# guess faster than logging in does.
REAUTH = Limit("reauth", 20, _HOUR, Success.CLEARS)
# The same of all accounts that one client has: a change costs two hashes, a login one.
REAUTH_NETWORK = Limit("reauth.network", 30, _MINUTE)
# Limits on recording refusals, so that a refused client cannot fill the disk.
TRIPPED = Limit("audit.tripped", 1, 5 * _MINUTE)
UNKNOWN = Limit("audit.unknown", 1, 5 * _MINUTE)
DENIED = Limit("audit.denied", 10, _MINUTE)
