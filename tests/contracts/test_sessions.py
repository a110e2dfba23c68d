"""The contract of `ports.Sessions`, on every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from taskcore.domain.errors import NotFound
from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import MAX_SESSIONS, RefreshToken, Session, SessionId
from taskcore.domain.users import Role, UserId
from taskcore.ports import Store
from tests.contracts.stored import (
    IDLE,
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
        end = NOW + IDLE
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
    now = NOW + IDLE
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
            used_session = session.used(successor.issued_at, IDLE)
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
        await tx.sessions.rotate(session.used(LATER, IDLE), used, new_token(session, "b", LATER))
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
                await tx.sessions.rotate(
                    session.used(LATER, IDLE), token, new_token(session, "b", LATER)
                )

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


async def test_opening_one_session_too_many_ends_the_one_not_used_for_longest(
    store: Store,
) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    async with store.autocommit() as db:
        of_bob = await open_session(db, bob)
        tokens = [await open_session(db, ada, NOW + i * MOMENT) for i in range(MAX_SESSIONS)]
        assert len(await db.sessions.of_user(ada.id, NOW)) == MAX_SESSIONS
    async with store.transaction() as tx:  # the oldest is used, so it is the second that goes
        found = await tx.sessions.lock_by_token(tokens[0].digest)
        assert found
        used = found[0].used(LATER, IDLE)
        await tx.sessions.rotate(used, found[1], new_token(used, "next", LATER))
    async with store.autocommit() as db:
        newest = await open_session(db, ada, LATER)
        left = [session.id for session in await db.sessions.of_user(ada.id, NOW)]
        assert len(left) == MAX_SESSIONS
        assert tokens[1].session_id not in left
        assert {newest.session_id, used.id, tokens[2].session_id} <= set(left)
        assert await db.sessions.find_by_token(of_bob.digest) == of_bob.session_id


async def test_a_token_leads_to_its_session_while_that_lives(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        token = await open_session(db, ada)
        assert await db.sessions.find_by_token(token.digest) == token.session_id
        assert await db.sessions.find_by_token(bytes(32)) is None
        await db.sessions.end(token.session_id)
        assert await db.sessions.find_by_token(token.digest) is None


async def test_sessions_are_listed_as_they_were_stored_the_one_used_last_first(
    store: Store,
) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    origins = [Origin("192.0.2.1", "curl"), Origin(), Origin("2001:db8::1")]
    of_ada = [
        Session.new(SessionId(uuid4()), ada.id, NOW + i * MOMENT, IDLE, origin)
        for i, origin in enumerate(origins)
    ]
    of_bob = new_session(bob, LATER)
    async with store.autocommit() as db:
        for session in (*of_ada, of_bob):
            await db.sessions.open(session, new_token(session, "first", session.created_at))
        assert list(await db.sessions.of_user(ada.id, NOW)) == of_ada[::-1]
        assert list(await db.sessions.of_user(ada.id, NOW + IDLE)) == of_ada[:0:-1]
        assert list(await db.sessions.of_user(UserId(0), NOW)) == []
        page = await db.sessions.page(user_id=None, skip=1, limit=2, now=NOW)
        assert (page.items, page.total) == ([of_ada[2], of_ada[1]], 4)
        page = await db.sessions.page(user_id=bob.id, skip=0, limit=9, now=NOW)
        assert (page.items, page.total) == ([of_bob], 1)
        page = await db.sessions.page(user_id=ada.id, skip=9, limit=9, now=NOW)
        assert (page.items, page.total) == ([], 3)


async def test_ending_tells_whose_session_it_was_and_spares_those_of_others(
    store: Store,
) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    async with store.autocommit() as db:
        token = await open_session(db, ada)
        assert await db.sessions.end(token.session_id, of=bob.id) is None
        assert await db.sessions.find_actor(token.session_id, NOW) is not None
        assert await db.sessions.end(token.session_id, of=ada.id) == ada.id
        assert await db.sessions.end(token.session_id, of=ada.id) is None
        assert await db.sessions.end(SessionId(uuid4())) is None
        token = await open_session(db, ada)
        assert await db.sessions.end(token.session_id) == ada.id


async def test_all_sessions_end_but_the_one_that_is_spared(store: Store) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    async with store.autocommit() as db:
        tokens = [await open_session(db, ada) for _ in range(3)]
        of_bob = await open_session(db, bob)
        assert await db.sessions.end_all(ada.id, but=tokens[1].session_id) == 2
        left = await db.sessions.of_user(ada.id, NOW)
        assert [session.id for session in left] == [tokens[1].session_id]
        assert await db.sessions.find_by_token(tokens[0].digest) is None
        assert await db.sessions.end_all(ada.id) == 1
        assert await db.sessions.end_all(ada.id) == 0
        assert await db.sessions.find_actor(of_bob.session_id, NOW) is not None
        await open_session(db, ada)
        assert await db.sessions.end_all(None) == 2


async def test_many_who_end_the_same_sessions_do_not_block_each_other(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        for _ in range(20):
            await open_session(db, ada)

    async def end() -> int:
        async with store.transaction() as tx:
            return await tx.sessions.end_all(ada.id)

    assert sum(await asyncio.gather(*(end() for _ in range(8)))) == 20
