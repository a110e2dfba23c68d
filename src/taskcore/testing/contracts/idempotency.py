"""The contract of `ports.IdempotencyRepository`, on every store."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from taskcore.domain.errors import KeyReused, NotFound, TooMany
from taskcore.domain.idempotency import LIFETIME, ROW
from taskcore.domain.users import User
from taskcore.ports import KeyClaim, Removal, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import NOW, add_tasks, add_user

ENOUGH = 10_000_000


MOMENT = timedelta(microseconds=1)


def a_claim(user: User, key: bytes = b"k", request: bytes = b"r", at: datetime = NOW) -> KeyClaim:
    return KeyClaim(user.id, key * 32, request * 32, at)


async def kept(store: Store, claim: KeyClaim, answer: bytes, *, at_most: int = ENOUGH) -> None:
    async with store.transaction(claim.user_id) as tx:
        assert await tx.idempotency.claim(claim) is None
        await tx.idempotency.keep(claim, answer, at_most=at_most)


async def answer_to(store: Store, claim: KeyClaim) -> bytes | None:
    async with store.transaction(claim.user_id) as tx:
        return await tx.idempotency.claim(claim)


async def forgotten(store: Store, before: datetime, limit: int = 99) -> Removal:
    async with store.autocommit() as db:
        return await db.idempotency.forget(before, limit)


class IdempotencyContract(Contract):
    @pytest.mark.parametrize("answer", [b"done", b"", b"\x00\xff\n" * 1000])
    async def test_an_answer_is_kept_for_its_key_user_and_request(
        self, store: Store, answer: bytes
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await kept(store, a_claim(ada), answer)
        for _ in range(2):
            assert await answer_to(store, a_claim(ada)) == answer
        with pytest.raises(KeyReused) as refusal:
            await answer_to(store, a_claim(ada, request=b"s"))
        assert refusal.value.problems[0].code == "idempotency_key_reused"
        assert await answer_to(store, a_claim(ada)) == answer
        await kept(store, a_claim(ada, key=b"l"), b"another key")
        await kept(store, a_claim(bob), b"another user")

    async def test_a_claim_that_is_undone_leaves_the_key_free(self, store: Store) -> None:
        ada = await add_user(store)

        async def fail() -> None:
            async with store.transaction(ada.id) as tx:
                assert await tx.idempotency.claim(a_claim(ada)) is None
                await tx.idempotency.keep(a_claim(ada), b"never", at_most=ENOUGH)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        await kept(store, a_claim(ada, request=b"s"), b"done")

    async def test_an_answer_counts_for_24_hours(self, store: Store) -> None:
        ada = await add_user(store)
        await kept(store, a_claim(ada), b"old")
        assert await answer_to(store, a_claim(ada, at=NOW + LIFETIME - MOMENT)) == b"old"
        later = NOW + LIFETIME
        await kept(store, a_claim(ada, request=b"s", at=later), b"new")
        assert await answer_to(store, a_claim(ada, request=b"s", at=later + MOMENT)) == b"new"
        with pytest.raises(KeyReused):
            await answer_to(store, a_claim(ada, at=later + MOMENT))

    async def test_what_an_account_keeps_in_24_hours_is_limited(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        room = 2 * (ROW + 10)
        await kept(store, a_claim(ada, b"1"), b"0123456789", at_most=room)
        hour = timedelta(hours=1)
        await kept(store, a_claim(ada, b"2", at=NOW + hour), b"0123456789", at_most=room)
        with pytest.raises(TooMany) as refusal:
            await kept(store, a_claim(ada, b"3", at=NOW + 2 * hour), b"", at_most=room)
        assert refusal.value.retry_after == (LIFETIME - 2 * hour).total_seconds()
        await kept(store, a_claim(bob, b"3"), b"0123456789", at_most=room)
        await kept(store, a_claim(ada, b"3", at=NOW + LIFETIME), b"0123456789", at_most=room)

    async def test_old_keys_are_forgotten_the_oldest_first(self, store: Store) -> None:
        ada = await add_user(store)
        for number in range(5):
            await kept(store, a_claim(ada, b"%d" % number, at=NOW + timedelta(hours=number)), b"x")
        before = NOW + timedelta(hours=3)
        assert await forgotten(store, before, 2) == Removal(2, more=True)
        assert (await forgotten(store, before, 2)).count == 1
        assert (await forgotten(store, before, 2)).count == 0
        for number in (3, 4):
            assert await answer_to(store, a_claim(ada, b"%d" % number)) == b"x"
        for number in (0, 1, 2):
            await kept(store, a_claim(ada, b"%d" % number, request=b"s"), b"y")

    async def test_how_much_was_kept_is_forgotten_too(self, store: Store) -> None:
        ada = await add_user(store)
        await kept(store, a_claim(ada), b"x", at_most=ROW + 1)
        await forgotten(store, NOW + MOMENT)
        await kept(store, a_claim(ada), b"x", at_most=ROW + 1)

    @pytest.mark.parametrize("tasks", [0, 3])
    async def test_the_keys_of_a_removed_account_are_gone(self, store: Store, tasks: int) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await add_tasks(store, ada, *map(str, range(tasks)))
        for user in (ada, bob):
            await kept(store, a_claim(user), b"x")
        async with store.transaction() as tx:
            await tx.users.remove(ada.id, at_once=1)
        with pytest.raises(NotFound):
            await answer_to(store, a_claim(ada))
        with pytest.raises(NotFound):
            await answer_to(store, replace(a_claim(ada), key=b"n" * 32))
        assert await answer_to(store, a_claim(bob)) == b"x"

    async def test_a_key_whose_account_its_own_work_removes_is_not_kept(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.transaction(ada.id) as tx:
            assert await tx.idempotency.claim(a_claim(ada)) is None
            await tx.users.remove(ada.id)
            await tx.idempotency.keep(a_claim(ada), b"gone", at_most=ENOUGH)
        assert (await forgotten(store, NOW + MOMENT)).count == 0
