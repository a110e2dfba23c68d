"""What `taskcore.testing` gives to others: suites that a wrong adapter fails, and cheap parts."""

import subprocess
import sys
from pathlib import Path

import pytest

from taskcore import SYSTEM, Unauthenticated
from taskcore.adapters.memory import memory_core
from taskcore.testing import START, CheapHasher, ManualClock

pytestmark = pytest.mark.anyio

THEIRS = """
from contextlib import asynccontextmanager

import pytest
from taskcore.adapters.memory import MemoryStore
from taskcore.testing import CheapHasher
from taskcore.testing.contracts import HasherContract, TransactionContract


class Forgetful(MemoryStore):
    @asynccontextmanager
    async def transaction(self, by=None):
        async with self.autocommit(by) as db:  # undoes nothing
            yield db


class Hasty(CheapHasher):
    async def verify(self, password, password_hash, *, as_typed=None):
        return password_hash is not None and await super().verify(password[:72], password_hash)

    async def hash(self, password):
        return await super().hash(password[:72])


class TestMemory(TransactionContract):
    @pytest.fixture
    async def store(self):
        yield MemoryStore()


class TestForgetful(TransactionContract):
    @pytest.fixture
    async def store(self):
        yield Forgetful()


class TestHasty(HasherContract):
    @pytest.fixture
    def hasher(self):
        return Hasty()
"""


def test_an_author_of_an_adapter_subclasses_a_suite(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    options = ["--strict-markers", "-W", "error", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "pytest", "-rA", "--color=no", *options, "test_theirs.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = [line.split() for line in done.stdout.splitlines() if "::test_" in line]
    failed = {words[1].split("::", 1)[1] for words in outcomes if words[0] == "FAILED"}
    passed = {words[1].split("::", 1)[1] for words in outcomes if words[0] == "PASSED"}
    assert {
        "TestForgetful::test_leaving_by_an_exception_undoes_everything",
        "TestForgetful::test_a_cancelled_transaction_is_undone",
        "TestHasty::test_a_long_password_is_compared_whole",
    } <= failed, done.stdout
    assert not [name for name in failed if name.startswith("TestMemory")]
    of_memory = {name.removeprefix("TestMemory::") for name in passed if "TestMemory" in name}
    assert len(of_memory) > 10
    assert "assert [] == ['before']" in done.stdout  # a failure shows its values


async def test_time_passes_when_a_test_says_so() -> None:
    clock = ManualClock()
    core = memory_core(clock=clock, hasher=CheapHasher())
    user = await core.accounts.create(SYSTEM, email="ada@example.org", password="correct horse")
    assert user.created_at == START
    grant = await core.sessions.log_in(email=user.email, password="correct horse")
    clock.advance(days=8)
    with pytest.raises(Unauthenticated):
        await core.sessions.refresh(refresh_token=grant.refresh_token)
    with pytest.raises(Unauthenticated):
        await core.sessions.authenticate(grant.access_token)


async def test_a_cheap_hash_is_one_of_the_least_cost() -> None:
    assert (await CheapHasher().hash("correct horse")).startswith("scrypt.2.1.1.")
