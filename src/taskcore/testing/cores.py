"""A core on any store, for tests."""

from taskcore.adapters.keys import HmacPseudonyms
from taskcore.adapters.memory.rate_limits import Unlimited
from taskcore.adapters.tokens import OpaqueRefreshTokens, SignedAccessTokens
from taskcore.core import Core, Terms
from taskcore.ports import AccessTokens, Clock, PasswordHasher, RateLimiter, Store, Tracer
from taskcore.testing.clock import ManualClock
from taskcore.testing.hashing import CheapHasher

KEY = bytes(range(64))


def core_on(
    store: Store,
    *,
    clock: Clock | None = None,
    hasher: PasswordHasher | None = None,
    access_tokens: AccessTokens | None = None,
    limiter: RateLimiter | None = None,
    tracer: Tracer | None = None,
    terms: Terms | None = None,
) -> Core:
    """A core on that store, with cheap hashes and no rate limits unless they are given.

    Its keys are always the same: for tests only.
    """
    return Core.bind(
        store=store,
        hasher=hasher or CheapHasher(),
        access_tokens=access_tokens or SignedAccessTokens(KEY),
        refresh_tokens=OpaqueRefreshTokens((KEY,)),
        limiter=limiter or Unlimited(),
        pseudonyms=HmacPseudonyms(KEY),
        clock=clock or ManualClock(),
        tracer=tracer,
        terms=terms or Terms(),
    )
