"""The contract of `ports.Store`: what a transaction is, on every store."""

from taskcore.testing.contracts import TransactionContract


class TestTransactions(TransactionContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""
