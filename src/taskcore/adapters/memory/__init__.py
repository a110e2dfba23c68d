"""A store in this process's memory, and a whole core on it that needs nothing installed."""

import secrets

from taskcore.adapters.clock import SystemClock
from taskcore.adapters.keys import HmacPseudonyms
from taskcore.adapters.memory.rate_limits import MemoryLimiter
from taskcore.adapters.memory.store import MemoryStore
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.adapters.tokens import OpaqueRefreshTokens, SignedAccessTokens
from taskcore.core import Core
from taskcore.ports import Clock, PasswordHasher

__all__ = ["MemoryStore", "memory_core"]


def memory_core(*, clock: Clock | None = None, hasher: PasswordHasher | None = None) -> Core:
    """A core whose data and keys are lost when the process ends."""
    clock = clock or SystemClock()
    return Core.bind(
        store=MemoryStore(),
        hasher=hasher or ScryptHasher(),
        access_tokens=SignedAccessTokens(secrets.token_bytes(32)),
        refresh_tokens=OpaqueRefreshTokens((secrets.token_bytes(32),)),
        limiter=MemoryLimiter(clock),
        pseudonyms=HmacPseudonyms(secrets.token_bytes(32)),
        clock=clock,
    )
