"""Cores whose store fails, or whose hasher does not finish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from taskcore import Core
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.users import UserId
from taskcore.ports import Prepare, Repositories, Store
from tests.conftest import ManualClock, bound

CHEAP = ScryptHasher(n=2, r=1, p=1)


@dataclass
class FailingStore:
    """Delegates to `store` while `error` is None; otherwise raises the error."""

    store: Store = field(default_factory=MemoryStore)
    error: Exception | None = None

    @asynccontextmanager
    async def transaction(
        self, by: UserId | None = None, prepare: Prepare | None = None
    ) -> AsyncIterator[Repositories]:
        self._fail()
        async with self.store.transaction(by, prepare) as tx:
            yield tx

    @asynccontextmanager
    async def autocommit(
        self, by: UserId | None = None, *, may_lag: bool = False
    ) -> AsyncIterator[Repositories]:
        self._fail()
        async with self.store.autocommit(by, may_lag=may_lag) as db:
            yield db

    async def check(self) -> None:
        self._fail()

    async def compact(self) -> int:
        self._fail()
        return await self.store.compact()

    def _fail(self) -> None:
        if self.error:
            raise self.error


class HeldHasher:
    """Verifies only after `go_on` is set; `holds` counts the calls that wait."""

    def __init__(self) -> None:
        self.holds = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def hash(self, password: str) -> str:
        return await CHEAP.hash(password)

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        self.holds.release()
        await self.go_on.wait()
        return await CHEAP.verify(password, password_hash, as_typed=as_typed)

    def needs_rehash(self, password_hash: str) -> bool:
        return CHEAP.needs_rehash(password_hash)


def failing_core(clock: ManualClock) -> tuple[Core, FailingStore]:
    store = FailingStore()
    return bound(store, clock, CHEAP), store


def held_core(clock: ManualClock) -> tuple[Core, HeldHasher]:
    hasher = HeldHasher()
    core = bound(MemoryStore(), clock, CHEAP)
    logins = replace(core.sessions.logins, hasher=hasher)
    return replace(core, sessions=replace(core.sessions, logins=logins)), hasher
