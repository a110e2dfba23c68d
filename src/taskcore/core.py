"""Core: every use case, bound to ports."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from taskcore.ports import (
    AccessTokens,
    Clock,
    PasswordHasher,
    Pseudonyms,
    RateLimiter,
    RefreshTokens,
    Store,
)
from taskcore.usecases.accounts import Accounts
from taskcore.usecases.attempts import LoginAttempts
from taskcore.usecases.audit import Audit
from taskcore.usecases.gate import Gate
from taskcore.usecases.sessions import Sessions
from taskcore.usecases.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Terms:
    """What an installation chooses."""

    idle: timedelta = timedelta(days=7)
    """How long a session lives without a refresh."""
    failure_floor: timedelta = timedelta(0)
    """How long a failed login takes at least, to hide that hashes of the past take longer."""
    app_name: str = "taskcore"
    """Nobody's password."""


@dataclass(frozen=True, slots=True)
class Core:
    accounts: Accounts
    sessions: Sessions
    tasks: Tasks
    audit: Audit
    gate: Gate
    store: Store

    @classmethod
    def bind(
        cls,
        *,
        store: Store,
        hasher: PasswordHasher,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        limiter: RateLimiter,
        pseudonyms: Pseudonyms,
        clock: Clock,
        terms: Terms = Terms(),
    ) -> Self:
        gate = Gate(store, limiter, clock)
        return cls(
            accounts=Accounts(store, hasher, gate, clock, terms.app_name),
            sessions=Sessions(
                store=store,
                hasher=hasher,
                access_tokens=access_tokens,
                refresh_tokens=refresh_tokens,
                gate=gate,
                attempts=LoginAttempts(store, gate, clock),
                pseudonyms=pseudonyms,
                clock=clock,
                idle=terms.idle,
                failure_floor=terms.failure_floor,
            ),
            tasks=Tasks(store, gate, clock),
            audit=Audit(store, gate),
            gate=gate,
            store=store,
        )
