"""Opening a core: settings in, and each adapter that the caller does not bring along."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Unpack

from taskcore.adapters.clock import SystemClock
from taskcore.adapters.keys import HmacPseudonyms, Keys
from taskcore.adapters.memory.rate_limits import MemoryLimiter, Unlimited
from taskcore.adapters.tokens import OpaqueRefreshTokens
from taskcore.core import Core, Terms
from taskcore.extras import needing
from taskcore.ports import AccessTokens, Adapters, PasswordHasher
from taskcore.settings import Settings

# What needs a package is imported where it is used: who brings a store along needs no psycopg.
# ruff: noqa: PLC0415


@asynccontextmanager
async def open_core(settings: Settings, **given: Unpack[Adapters]) -> AsyncIterator[Core]:
    """A Core, for as long as the block lasts; see `taskcore.open_core`."""
    async with AsyncExitStack() as stack:
        clock = given.get("clock") or SystemClock()
        store, limiter = given.get("store"), given.get("limiter")
        tracer = given.get("tracer")
        if store is None:
            with needing("core"):
                from taskcore.wiring import opened_database
            database = await stack.enter_async_context(opened_database(settings, tracer))
            store = database.store
            if limiter is None and settings.rate_limits:
                limiter = database.limiter(Keys.of(settings), clock)
        elif limiter is None and settings.rate_limits:
            limiter = MemoryLimiter(clock)
        keys = Keys.of(settings)  # the embedded database has made the folder of a generated one
        hasher = given.get("hasher")
        if hasher is None:
            hasher = await stack.enter_async_context(_hasher(settings))
        yield Core.bind(
            store=store,
            hasher=hasher,
            access_tokens=given.get("access_tokens") or _access_tokens(settings, keys),
            refresh_tokens=given.get("refresh_tokens")
            or OpaqueRefreshTokens(keys.derived("refresh token")),
            limiter=limiter or Unlimited(),
            pseudonyms=given.get("pseudonyms") or HmacPseudonyms(keys.derived("pseudonym")[0]),
            clock=clock,
            tracer=tracer,
            terms=Terms(
                idle=settings.refresh_token_lifetime,
                failure_floor=settings.login_failure_floor,
                app_name=settings.app_name,
                max_tasks=settings.max_tasks,
                trash_lifetime=settings.trash_lifetime,
                events_lifetime=settings.events_lifetime,
            ),
        )


@asynccontextmanager
async def _hasher(settings: Settings) -> AsyncIterator[PasswordHasher]:
    with needing("auth"):
        from taskcore.adapters.argon2 import Argon2Hasher
    async with Argon2Hasher(threads=max(1, (os.cpu_count() or 1) // settings.workers)) as hasher:
        yield hasher


def _access_tokens(settings: Settings, keys: Keys) -> AccessTokens:
    with needing("auth"):
        from taskcore.adapters.jwt import JwtTokens
    return JwtTokens(
        *keys.derived("access token"),
        algorithm=settings.algorithm,
        lifetime=settings.access_token_lifetime.total_seconds(),
    )
