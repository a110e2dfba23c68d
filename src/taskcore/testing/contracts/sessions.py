"""The contract of `ports.Sessions`, on every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import MAX_SESSIONS, RefreshToken, Session, SessionId
from taskcore.domain.users import Role, UserId
from taskcore.ports import Removal, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
    IDLE,
    LATER,
    NOW,
    add_user,
    hash_of,
    new_session,
    new_token,
    open_session,
    opened,
)

MOMENT = timedelta(microseconds=1)


class SessionContract(Contract):
    async def test_an_open_session_tells_who_acts_in_it(self, store: Store) -> None:
        ada = await add_user(store, role=Role.ADMIN)
        async with store.autocommit() as db:
            await db.users.save(ada.edited(NOW, time_zone="Asia/Tokyo"))
            token = await open_session(db, ada)
            actor = await db.sessions.find_actor(token.session_id, NOW)
        assert actor == Actor(ada.id, Role.ADMIN, token.session_id, time_zone="Asia/Tokyo")
        assert type(actor.role) is Role

    async def test_an_unknown_session_has_no_actor(self, store: Store) -> None:
        async with store.autocommit() as db:
            assert await db.sessions.find_actor(SessionId(uuid4()), NOW) is None

    async def test_the_actors_of_several_sessions_are_found_at_once(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        async with store.autocommit() as db:
            ids = [(await open_session(db, user)).session_id for user in (ada, ada, bob)]
            await db.users.save(bob.edited(LATER, is_active=False))
            found = await db.sessions.find_actors([*ids, SessionId(uuid4())], NOW)
            assert found == {id_: await db.sessions.find_actor(id_, NOW) for id_ in ids[:2]}
            assert await db.sessions.find_actors(ids, NOW + IDLE) == {}
            assert await db.sessions.find_actors([], NOW) == {}

    async def test_a_session_ends_at_its_end(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            token = await open_session(db, ada)
            end = NOW + IDLE
            assert await db.sessions.find_actor(token.session_id, end - MOMENT) is not None
            assert await db.sessions.find_actor(token.session_id, end) is None

    async def test_role_and_activity_are_those_of_the_moment(self, store: Store) -> None:
        ada = await add_user(store, role=Role.ADMIN)
        async with store.autocommit() as db:
            token = await open_session(db, ada)
            await db.users.save(ada.edited(LATER, role=Role.USER))
            actor = await db.sessions.find_actor(token.session_id, NOW)
            assert actor is not None
            assert actor.role is Role.USER
            await db.users.save(ada.edited(LATER, is_active=False))
            assert await db.sessions.find_actor(token.session_id, NOW) is None

    async def test_opening_a_session_puts_it_on_record(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            token = await open_session(db, ada)
            (event,) = (await db.audit.page(skip=0, limit=9)).items
        assert (event.event, event.actor_id, event.user_id) == ("login.succeeded", ada.id, ada.id)
        assert (event.session_id, event.at, event.detail) == (token.session_id, NOW, {})

    @pytest.mark.parametrize("fate", ["gone", "inactive", "of another password"])
    async def test_a_session_is_opened_only_while_the_account_is_as_it_was_read(
        self, store: Store, fate: str
    ) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            before = await open_session(db, ada)
            if fate == "gone":
                await db.users.remove(ada.id)
            elif fate == "inactive":
                await db.users.save(ada.edited(LATER, is_active=False))
            else:
                assert await db.users.replace_password_hash(ada.id, hash_of(ada.email), "another")
            session = new_session(ada, NOW + IDLE)  # by then the one before has expired
            token = new_token(session, "first")
            assert not await opened(db, ada, session, token)
            assert await db.sessions.find_by_token(token.digest) is None
            assert (await db.audit.page(skip=0, limit=9)).total == 1
            assert (await db.sessions.find_by_token(before.digest) is None) == (fate == "gone")

    async def test_a_session_is_not_opened_while_the_account_is_changed(self, store: Store) -> None:
        ada = await add_user(store)
        session = new_session(ada)

        async def log_in() -> bool:
            async with store.autocommit() as db:
                return await opened(db, ada, session, new_token(session, "first"))

        async with store.transaction() as tx:
            await tx.users.lock(ada.id)
            login = asyncio.create_task(log_in())
            await asyncio.sleep(0.05)  # it sees the account as it still is, and has to wait
            await tx.users.save(ada.edited(LATER, is_active=False))
        assert not await login
        async with store.autocommit() as db:
            assert list(await db.sessions.of_user(ada.id, NOW)) == []

    async def test_opening_a_session_forgets_only_the_same_users_expired_ones(
        self, store: Store
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        now = NOW + IDLE
        async with store.autocommit() as db:
            expired = await open_session(db, ada)
            living = await open_session(db, ada, NOW + MOMENT)
            of_bob = await open_session(db, bob)
            newest = await open_session(db, ada, now)
            assert await db.sessions.find_by_token(expired.digest) is None
            for token in (living, of_bob, newest):
                assert await db.sessions.find_by_token(token.digest) is not None

    async def test_a_token_leads_to_its_session_and_user_as_they_are_stored(
        self, store: Store
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob", role=Role.ADMIN)
        session, other = new_session(bob), new_session(ada)
        token = new_token(session, "first")
        async with store.autocommit() as db:
            await opened(db, ada, other, new_token(other, "first"))
            await opened(db, bob, session, token)
            assert await db.sessions.find_by_token(token.digest) == (session, token, bob)
            assert await db.sessions.find_by_token(bytes(32)) is None

    async def test_rotation_uses_a_token_up_and_supersedes_those_before_it(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        session = new_session(ada)
        tokens = [
            new_token(session, name, NOW + timedelta(hours=i)) for i, name in enumerate("abc")
        ]
        async with store.autocommit() as db:
            await opened(db, ada, session, tokens[0])
            for used, successor in pairwise(tokens):
                used_session = session.used(successor.issued_at, IDLE, Origin("192.0.2.1", "curl"))
                assert await db.sessions.rotate(used_session, used, successor)
            a, b, c = [await db.sessions.find_by_token(token.digest) for token in tokens]
        at_b, at_c = tokens[1].issued_at, tokens[2].issued_at
        assert a == (used_session, replace(tokens[0], used_at=at_b, superseded=True), ada)
        assert b == (used_session, replace(tokens[1], used_at=at_c), ada)
        assert c == (used_session, tokens[2], ada)

    async def test_rotation_touches_no_other_session(self, store: Store) -> None:
        ada = await add_user(store)
        session, other = new_session(ada), new_session(ada)
        used, bystander = new_token(session, "a"), new_token(other, "a")
        async with store.autocommit() as db:
            await opened(db, ada, session, used)
            await opened(db, ada, other, bystander)
            used_session = session.used(LATER, IDLE)
            assert await db.sessions.rotate(used_session, used, new_token(session, "b", LATER))
            assert await db.sessions.find_by_token(bystander.digest) == (other, bystander, ada)

    async def test_a_token_is_used_once(self, store: Store) -> None:
        ada = await add_user(store)
        session = new_session(ada)
        token = new_token(session, "a")
        successors = [new_token(session, f"b{number}", LATER) for number in range(8)]
        async with store.autocommit() as db:
            await opened(db, ada, session, token)

        async def use(successor: RefreshToken) -> bool:
            async with store.autocommit() as db:
                return await db.sessions.rotate(session.used(LATER, IDLE), token, successor)

        used = await asyncio.gather(*map(use, successors))
        assert sorted(used) == [False] * 7 + [True]
        async with store.autocommit() as db:
            found = [
                await db.sessions.find_by_token(each.digest) is not None for each in successors
            ]
        assert found == used

    async def test_a_token_of_a_session_that_has_ended_is_not_used(self, store: Store) -> None:
        ada = await add_user(store)
        session = new_session(ada)
        token, successor = new_token(session, "a"), new_token(session, "b", LATER)
        async with store.autocommit() as db:
            await opened(db, ada, session, token)

        async def use() -> bool:
            async with store.autocommit() as db:
                return await db.sessions.rotate(session.used(LATER, IDLE), token, successor)

        async with store.transaction() as tx:
            await tx.sessions.end(session.id)
            rotation = asyncio.create_task(use())
            await asyncio.sleep(0.05)  # it sees the session that is still there, and has to wait
        assert not await rotation
        assert not await use()
        async with store.autocommit() as db:
            assert await db.sessions.find_by_token(successor.digest) is None

    async def test_an_ended_session_is_gone_with_its_tokens_and_may_be_ended_again(
        self,
        store: Store,
    ) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            ended, other = await open_session(db, ada), await open_session(db, ada)
            await db.sessions.end(ended.session_id)
            await db.sessions.end(ended.session_id)
            assert await db.sessions.find_actor(ended.session_id, NOW) is None
            assert await db.sessions.find_actor(other.session_id, NOW) is not None
            assert await db.sessions.find_by_token(ended.digest) is None
            assert await db.sessions.find_by_token(other.digest) is not None

    async def test_opening_one_session_too_many_ends_the_one_not_used_for_longest(
        self,
        store: Store,
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        async with store.autocommit() as db:
            of_bob = await open_session(db, bob)
            tokens = [await open_session(db, ada, NOW + i * MOMENT) for i in range(MAX_SESSIONS)]
            assert len(await db.sessions.of_user(ada.id, NOW)) == MAX_SESSIONS
            found = await db.sessions.find_by_token(tokens[0].digest)
            assert found  # the oldest is used, so it is the second that goes
            used = found[0].used(LATER, IDLE)
            assert await db.sessions.rotate(used, found[1], new_token(used, "next", LATER))
            newest = await open_session(db, ada, LATER)
            left = [session.id for session in await db.sessions.of_user(ada.id, NOW)]
            assert len(left) == MAX_SESSIONS
            assert tokens[1].session_id not in left
            assert {newest.session_id, used.id, tokens[2].session_id} <= set(left)
            assert await db.sessions.find_by_token(of_bob.digest) is not None

    async def test_many_logins_at_once_leave_no_more_sessions_than_there_may_be(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            for _ in range(MAX_SESSIONS - 2):
                await open_session(db, ada)

        async def log_in(number: int) -> RefreshToken:
            async with store.autocommit() as db:
                return await open_session(db, ada, LATER + number * MOMENT)

        tokens = await asyncio.gather(*map(log_in, range(20)))
        async with store.autocommit() as db:
            left = {session.id for session in await db.sessions.of_user(ada.id, LATER)}
        assert len(left) == MAX_SESSIONS
        assert {token.session_id for token in tokens} <= left

    async def test_sessions_are_listed_as_they_were_stored_the_one_used_last_first(
        self,
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
                user = bob if session is of_bob else ada
                assert await opened(db, user, session, new_token(session, "x", session.created_at))
            assert list(await db.sessions.of_user(ada.id, NOW)) == of_ada[::-1]
            assert list(await db.sessions.of_user(ada.id, NOW + IDLE)) == of_ada[:0:-1]
            assert list(await db.sessions.of_user(UserId(0), NOW)) == []
            page = await db.sessions.page(user_id=None, skip=1, limit=2, now=NOW)
            assert (page.items, page.total) == ([of_ada[2], of_ada[1]], 4)
            page = await db.sessions.page(user_id=bob.id, skip=0, limit=9, now=NOW)
            assert (page.items, page.total) == ([of_bob], 1)
            page = await db.sessions.page(user_id=ada.id, skip=9, limit=9, now=NOW)
            assert (page.items, page.total) == ([], 3)

    async def test_a_list_goes_on_from_its_last_session(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        async with store.autocommit() as db:
            made = []
            for number in range(9):
                user = (ada, bob)[number % 2]
                session = new_session(user, NOW + number // 3 * MOMENT)  # three of each moment
                assert await opened(db, user, session, new_token(session, "x", session.created_at))
                made.append(session)
            made.sort(key=lambda session: session.position, reverse=True)
            for user_id in (None, ada.id):
                wanted = [session for session in made if user_id in {None, session.user_id}]
                for limit in (1, 2, 9):
                    read: list[Session] = []
                    after = None
                    while True:
                        page = await db.sessions.page(
                            user_id=user_id, skip=0, limit=limit, now=NOW, after=after
                        )
                        assert page.total == (None if after else len(wanted))
                        read += page.items
                        if not page.has_more:
                            break
                        after = read[-1].position
                    assert read == wanted

    async def test_ending_tells_whose_session_it_was_and_spares_those_of_others(
        self,
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

    async def test_all_sessions_end_but_the_one_that_is_spared(self, store: Store) -> None:
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
            assert await db.sessions.end_some(1) == 1
            assert await db.sessions.end_some(9) == 1
            assert await db.sessions.end_some(9) == 0

    async def test_many_who_end_the_same_sessions_do_not_block_each_other(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            for _ in range(20):
                await open_session(db, ada)

        async def end() -> int:
            async with store.transaction() as tx:
                return await tx.sessions.end_all(ada.id)

        assert sum(await asyncio.gather(*(end() for _ in range(8)))) == 20

    async def test_expired_sessions_are_removed_a_few_at_a_time_and_no_others(
        self, store: Store
    ) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        end = NOW + IDLE
        async with store.autocommit() as db:
            over = [await open_session(db, user) for user in (ada, bob, ada)]
            living = await open_session(db, ada, NOW + MOMENT)
            assert await db.sessions.remove_expired(9, now=end - MOMENT) == Removal(0, more=False)
            assert await db.sessions.remove_expired(2, now=end) == Removal(2, more=True)
            assert await db.sessions.remove_expired(2, now=end) == Removal(1, more=False)
            assert [await db.sessions.find_by_token(token.digest) for token in over] == [None] * 3
            assert await db.sessions.find_by_token(living.digest) is not None
            assert [each.id for each in await db.sessions.of_user(ada.id, end)] == [
                living.session_id
            ]
