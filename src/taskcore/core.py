"""Core: every use case, bound to ports."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from dataclasses import replace as replaced
from datetime import timedelta

from taskcore.domain.events import EVENTS_LIFETIME
from taskcore.domain.idempotency import MAX_KEPT
from taskcore.domain.policies import Actor
from taskcore.domain.tasks import MAX_TASKS
from taskcore.domain.trash import TRASH_LIFETIME
from taskcore.ports import (
    TASKS_AT_ONCE,
    AccessTokens,
    Clock,
    PasswordHasher,
    Pseudonyms,
    RateLimiter,
    RefreshTokens,
    Store,
    Tracer,
)
from taskcore.usecases.accounts import Accounts
from taskcore.usecases.audit import Audit
from taskcore.usecases.change_followers import Followers, Wake
from taskcore.usecases.changes import Changes
from taskcore.usecases.housekeeping import BATCH, Housekeeping
from taskcore.usecases.idempotency import Answer, Idempotency, NoStore
from taskcore.usecases.rate_limits import Gate
from taskcore.usecases.sessions import Sessions
from taskcore.usecases.sessions.grants import Issuer
from taskcore.usecases.sessions.logins import LoginAttempts, Logins
from taskcore.usecases.sessions.refreshes import Refreshes
from taskcore.usecases.tasks import Tasks
from taskcore.usecases.tracing import traced


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings that use cases depend on."""

    idle: timedelta = timedelta(days=7)
    """How long a session lives without a refresh."""
    failure_floor: timedelta = timedelta(0)
    """How long a failed login takes at least, to hide that old hashes take longer to verify."""
    app_name: str = "taskcore"
    """Shown in the documentation; refused as a password."""
    at_once: int = TASKS_AT_ONCE
    """The deletion of an account with more tasks leaves them to housekeeping."""
    max_tasks: int = MAX_TASKS
    """How many tasks an account may hold, those in its trash included."""
    trash_lifetime: timedelta = TRASH_LIFETIME
    """How long a deleted task can be restored."""
    events_lifetime: timedelta = EVENTS_LIFETIME
    """How long the history of tasks reaches back."""
    max_kept: int = MAX_KEPT
    """How many bytes of answers to idempotency keys an account keeps in a day."""
    batch: int = BATCH
    """How many rows a transaction of housekeeping removes at most."""


@dataclass(frozen=True, slots=True)
class Core:
    """Every use case, by noun. `taskcore.open_core` makes one."""

    accounts: Accounts
    sessions: Sessions
    tasks: Tasks
    changes: Changes
    audit: Audit
    housekeeping: Housekeeping
    gate: Gate
    store: Store
    idempotency: "Idempotency[Core]"

    async def once(
        self, actor: Actor, key: str, request: bytes, work: "Callable[[Core], Awaitable[bytes]]"
    ) -> Answer:
        """Do what a request asks for once, however often it is sent; see `Idempotency.once`."""
        return await self.idempotency.once(actor, key, request, work)

    @classmethod
    def bind(  # noqa: PLR0913 - each port
        cls,
        *,
        store: Store,
        hasher: PasswordHasher,
        access_tokens: AccessTokens,
        refresh_tokens: RefreshTokens,
        limiter: RateLimiter,
        pseudonyms: Pseudonyms,
        clock: Clock,
        tracer: Tracer | None = None,
        terms: Terms = Terms(),
    ) -> "Core":
        from taskcore.lanes import MAX_WAITING, Lane  # noqa: PLC0415 - it imports asyncio

        followers = Followers(store, clock)
        passwords = Lane(width=MAX_WAITING, wait=2.0)  # of each user one, of all any number
        issuer = Issuer(access_tokens, refresh_tokens, clock)
        housekeeping = Housekeeping(
            store, limiter, clock, terms.trash_lifetime, terms.events_lifetime, terms.batch
        )

        def on(store: Store, gate: Gate, wake: Wake, for_logins: Store) -> Core:
            logins = Logins(
                store=for_logins,
                gate=gate,
                clock=clock,
                issuer=issuer,
                hasher=hasher,
                attempts=LoginAttempts(for_logins, gate, clock),
                pseudonyms=pseudonyms,
                idle=terms.idle,
                failure_floor=terms.failure_floor,
                app_name=terms.app_name,
            )
            refreshes = Refreshes(for_logins, gate, clock, issuer, terms.idle)
            core = cls(
                accounts=Accounts(
                    store=store,
                    hasher=hasher,
                    gate=gate,
                    clock=clock,
                    wake=wake,
                    app_name=terms.app_name,
                    at_once=terms.at_once,
                    passwords=passwords,
                ),
                sessions=Sessions(store, gate, clock, access_tokens, logins, refreshes, wake),
                tasks=Tasks(store, gate, clock, wake, terms.max_tasks),
                changes=Changes(store, followers),
                audit=Audit(store, gate),
                housekeeping=housekeeping,
                gate=gate,
                store=store,
                idempotency=Idempotency(
                    store, gate, clock, wake, pseudonyms, in_transaction, terms.max_kept
                ),
            )
            return core if tracer is None else core._traced(tracer)

        def in_transaction(store: Store, gate: Gate, wake: Wake) -> Core:
            return on(store, gate, wake, NoStore())

        return on(store, Gate(store, limiter, clock), followers.wake, store)

    def _traced(self, tracer: Tracer) -> "Core":
        names = {each.name for each in fields(self)} - {"store"}
        return replaced(self, **{name: traced(getattr(self, name), name, tracer) for name in names})
