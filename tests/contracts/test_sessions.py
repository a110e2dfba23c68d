"""The contract of `ports.Sessions`, on every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from taskcore.domain.errors import NotFound
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import SESSION_LIFETIME, RefreshToken, SessionId
from taskcore.domain.users import Role
from taskcore.ports import Store
from tests.contracts.stored import (
    LATER,
    NOW,
    add_user,
    new_session,
    new_token,
    open_session,
)

pytestmark = pytest.mark.anyio

MOMENT = timedelta(microseconds=1)


async def test_an_open_session_tells_who_acts_in_it(store: Store) -> None:
    ada = await add_user(store, role=Role.ADMIN)
    async with store.autocommit() as db:
        token = await open_session(db, ada)
        actor = await db.sessions.find_actor(token.session_id, NOW)
    assert actor == Actor(ada.id, Role.ADMIN, token.session_id)
    assert type(actor.role) is Role


async def test_nobody_acts_in_a_session_that_never_was(store: Store) -> None:
    async with store.autocommit() as db:
        assert await db.sessions.find_actor(SessionId(uuid4()), NOW) is None


async def test_a_session_ends_at_its_end(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        token = await open_session(db, ada)
        end = NOW + SESSION_LIFETIME
        assert await db.sessions.find_actor(token.session_id, end - MOMENT) is not None
        assert await db.sessions.find_actor(token.session_id, end) is None


async def test_role_and_activity_are_those_of_the_moment(store: Store) -> None:
    ada = await add_user(store, role=Role.ADMIN)
    async with store.autocommit() as db:
        token = await open_session(db, ada)
        await db.users.save(ada.edited(LATER, role=Role.USER))
        actor = await db.sessions.find_actor(token.session_id, NOW)
        assert actor is not None
        assert actor.role is Role.USER
        await db.users.save(ada.edited(LATER, is_active=False))
        assert await db.sessions.find_actor(token.session_id, NOW) is None


async def test_a_session_of_somebody_who_is_gone_is_not_opened(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        await db.users.remove(ada.id)
        session = new_session(ada)
        with pytest.raises(NotFound):
            await db.sessions.open(session, new_token(session, "first"))
        assert await db.sessions.find_actor(session.id, NOW) is None


async def test_opening_a_session_forgets_only_the_same_users_expired_ones(store: Store) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    now = NOW + SESSION_LIFETIME
    async with store.autocommit() as db:
        expired = await open_session(db, ada)
        living = await open_session(db, ada, NOW + MOMENT)
        of_bob = await open_session(db, bob)
        opened = await open_session(db, ada, now)
    async with store.transaction() as tx:
        assert await tx.sessions.lock_by_token(expired.digest) is None
        for token in (living, of_bob, opened):
            assert await tx.sessions.lock_by_token(token.digest) is not None


async def test_a_token_leads_to_its_session_as_both_were_stored(store: Store) -> None:
    ada = await add_user(store)
    session, other = new_session(ada), new_session(ada)
    token = new_token(session, "first")
    async with store.autocommit() as db:
        await db.sessions.open(other, new_token(other, "first"))
        await db.sessions.open(session, token)
    async with store.transaction() as tx:
        assert await tx.sessions.lock_by_token(token.digest) == (session, token)
        assert await tx.sessions.lock_by_token(bytes(32)) is None


async def test_rotation_uses_a_token_up_and_supersedes_those_before_it(store: Store) -> None:
    ada = await add_user(store)
    session = new_session(ada)
    tokens = [new_token(session, name, NOW + timedelta(hours=i)) for i, name in enumerate("abc")]
    async with store.autocommit() as db:
        await db.sessions.open(session, tokens[0])
    for used, successor in pairwise(tokens):
        async with store.transaction() as tx:
            used_session = session.used(successor.issued_at)
            await tx.sessions.rotate(used_session, used, successor)
    async with store.transaction() as tx:
        a, b, c = [await tx.sessions.lock_by_token(token.digest) for token in tokens]
    at_b, at_c = tokens[1].issued_at, tokens[2].issued_at
    assert a == (used_session, replace(tokens[0], used_at=at_b, superseded=True))
    assert b == (used_session, replace(tokens[1], used_at=at_c))
    assert c == (used_session, tokens[2])


async def test_rotation_touches_no_other_session(store: Store) -> None:
    ada = await add_user(store)
    session, other = new_session(ada), new_session(ada)
    used, bystander = new_token(session, "a"), new_token(other, "a")
    async with store.autocommit() as db:
        await db.sessions.open(session, used)
        await db.sessions.open(other, bystander)
    async with store.transaction() as tx:
        await tx.sessions.rotate(session.used(LATER), used, new_token(session, "b", LATER))
    async with store.transaction() as tx:
        assert await tx.sessions.lock_by_token(bystander.digest) == (other, bystander)


async def test_an_ended_session_is_gone_with_its_tokens_and_may_be_ended_again(
    store: Store,
) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        ended, other = await open_session(db, ada), await open_session(db, ada)
        await db.sessions.end(ended.session_id)
        await db.sessions.end(ended.session_id)
        assert await db.sessions.find_actor(ended.session_id, NOW) is None
        assert await db.sessions.find_actor(other.session_id, NOW) is not None
    async with store.transaction() as tx:
        assert await tx.sessions.lock_by_token(ended.digest) is None
        assert await tx.sessions.lock_by_token(other.digest) is not None


async def test_whoever_waited_for_a_session_sees_what_its_token_became(store: Store) -> None:
    ada = await add_user(store)
    session = new_session(ada)
    token = new_token(session, "a")
    async with store.autocommit() as db:
        await db.sessions.open(session, token)
    seen: list[RefreshToken] = []

    async def use() -> None:
        async with store.transaction() as tx:
            found = await tx.sessions.lock_by_token(token.digest)
            assert found
            seen.append(found[1])
            await asyncio.sleep(0.02)  # the others queue up meanwhile, or read the same state
            if found[1].used_at is None:
                await tx.sessions.rotate(session.used(LATER), token, new_token(session, "b", LATER))

    await asyncio.gather(*(use() for _ in range(5)))
    assert [found.used_at for found in seen] == [None, *[LATER] * 4]


async def test_whoever_waited_for_a_session_that_was_ended_finds_nothing(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        token = await open_session(db, ada)
    found: list[bool] = []

    async def end() -> None:
        async with store.transaction() as tx:
            found.append(await tx.sessions.lock_by_token(token.digest) is not None)
            await asyncio.sleep(0.02)
            await tx.sessions.end(token.session_id)

    await asyncio.gather(*(end() for _ in range(4)))
    assert found == [True, False, False, False]
