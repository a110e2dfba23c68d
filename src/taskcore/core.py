"""Core: every use case, bound to ports."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from taskcore.ports import AccessTokens, Clock, PasswordHasher, RefreshTokens, Store
from taskcore.usecases.accounts import Accounts
from taskcore.usecases.sessions import Sessions
from taskcore.usecases.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Core:
    accounts: Accounts
    sessions: Sessions
    tasks: Tasks
    store: Store

    @classmethod
    def bind(
        cls,
        *,
        store: Store,
        hasher: PasswordHasher,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        clock: Clock,
        idle: timedelta = timedelta(days=7),
    ) -> Self:
        """`idle` is how long a session lives without a refresh."""
        return cls(
            accounts=Accounts(store, hasher, clock),
            sessions=Sessions(store, hasher, access_tokens, refresh_tokens, clock, idle),
            tasks=Tasks(store, clock),
            store=store,
        )
