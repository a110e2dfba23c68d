"""The adapters that a core can be opened with."""

from typing import TypedDict

from taskcore.ports.services import (
    AccessTokens,
    Clock,
    PasswordHasher,
    Pseudonyms,
    RateLimiter,
    RefreshTokens,
)
from taskcore.ports.store import Store
from taskcore.ports.tracing import Tracer


class Adapters(TypedDict, total=False):
    """Adapters that take the place of ours. The caller closes them, after the core."""

    store: Store
    """In place of PostgreSQL, which is then not opened. Limits are counted in this process."""
    limiter: RateLimiter
    hasher: PasswordHasher
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    pseudonyms: Pseudonyms
    clock: Clock
    tracer: Tracer
    """Without one nothing is traced."""
