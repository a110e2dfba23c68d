"""The contract of `ports.IdempotencyRepository`, on every store."""

from taskcore.testing.contracts import IdempotencyContract


class TestIdempotency(IdempotencyContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
