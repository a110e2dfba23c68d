"""The contract of `ports.Users`, on every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from taskcore.domain.emails import Email
from taskcore.domain.errors import EmailTaken, LastAdmin, NotFound
from taskcore.domain.ids import MAX_ID
from taskcore.domain.pages import MAX_SKIP
from taskcore.domain.users import Role, StoredCredentials, User, UserId
from taskcore.ports import Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import LATER, NOW, add_task, add_user, hash_of, open_session


class UserContract(Contract):
    async def test_a_list_goes_on_from_its_last_user(self, store: Store) -> None:
        """Whatever the filter; users who are removed meanwhile shift nothing."""
        users: list[User] = []
        for number in range(12):
            role = Role.ADMIN if number % 3 == 0 else Role.USER
            user = await add_user(store, f"user{number}", role=role)
            async with store.autocommit() as db:
                users.insert(0, await db.users.save(replace(user, is_active=number % 4 > 1)))
        for role, is_active in product((None, *Role), (None, True, False)):
            wanted = [
                u for u in users if role in {None, u.role} and is_active in {None, u.is_active}
            ]
            for limit in (1, 2, 12):
                read: list[User] = []
                after = None
                while True:
                    async with store.autocommit() as db:
                        page = await db.users.page(
                            skip=0, limit=limit, role=role, is_active=is_active, after=after
                        )
                    assert page.total == (None if after else len(wanted))
                    read += page.items
                    assert page.has_more == (len(read) < len(wanted))
                    if not page.has_more:
                        break
                    after = read[-1].id
                assert read == wanted
        async with store.autocommit() as db:
            for after, found in (
                (users[5].id, [users[6]]),
                (users[6].id, []),
                (UserId(2**70), [users[6]]),
            ):
                page = await db.users.page(
                    skip=0, limit=9, email=users[6].email.lower(), after=after
                )
                assert list(page.items) == found
            await db.users.remove(users[3].id)
            page = await db.users.page(skip=1, limit=2, after=users[3].id)
            assert list(page.items) == users[5:7]

    async def test_an_added_user_is_read_back_with_every_field(self, store: Store) -> None:
        draft = User.new(
            "Ada@Example.org",
            NOW,
            full_name="Ada L\u00f8ve \U0001f600",
            role=Role.ADMIN,
            time_zone="Asia/Tokyo",
        )
        async with store.autocommit() as db:
            added = await db.users.add(draft, "a hash")
            read = await db.users.get(added.id)
        assert read == added
        assert added == User(
            id=added.id,
            email="Ada@example.org",
            full_name="Ada L\u00f8ve \U0001f600",
            role=Role.ADMIN,
            is_active=True,
            time_zone="Asia/Tokyo",
            created_at=NOW,
            updated_at=NOW,
        )
        async with store.autocommit() as db:
            assert await db.users.get_credentials(added.id) == StoredCredentials(added, "a hash")
        assert type(read.role) is Role
        assert read.created_at.utcoffset() == timedelta(0)

    async def test_a_user_without_a_name_stays_without_one(self, store: Store) -> None:
        async with store.autocommit() as db:
            added = await db.users.add(
                User.new("a@b.org", NOW, full_name=None, role=Role.USER), "h"
            )
            assert (await db.users.get(added.id)).full_name is None

    async def test_ids_ascend(self, store: Store) -> None:
        ids = [(await add_user(store, name)).id for name in ("ada", "bob", "cid")]
        assert ids == sorted(set(ids))
        assert ids[0] >= 1

    @pytest.mark.parametrize("user_id", [0, -1, 1, MAX_ID, MAX_ID + 1, 10**30, -(10**30)])
    async def test_an_unknown_id_is_not_found(self, store: Store, user_id: int) -> None:
        await add_user(store)
        async with store.autocommit() as db:
            await db.users.remove((await db.users.page(skip=0, limit=1)).items[0].id)
            with pytest.raises(NotFound):
                await db.users.get(UserId(user_id))
            with pytest.raises(NotFound):
                await db.users.get_credentials(UserId(user_id))
            with pytest.raises(NotFound):
                await db.users.remove(UserId(user_id))
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await tx.users.lock(UserId(user_id))

    async def test_a_user_is_found_by_the_key_of_their_address_alone(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            assert await db.users.find_by_email("ada@example.org") == ada
            found = await db.users.find_credentials("ada@example.org")
            assert found == StoredCredentials(ada, hash_of(ada.email))
            for other in ("Ada@example.org", "ada@example.or", "%"):
                assert await db.users.find_by_email(other) is None
                assert await db.users.find_credentials(other) is None

    async def test_one_address_is_one_account_however_it_is_spelt(self, store: Store) -> None:
        await add_user(store)
        async with store.autocommit() as db:
            draft = User.new("ADA@EXAMPLE.ORG", NOW, full_name=None, role=Role.USER)
            with pytest.raises(EmailTaken):
                await db.users.add(draft, "h")
            assert (await db.users.page(skip=0, limit=10)).total == 1

    async def test_of_many_who_add_one_address_at_once_one_wins(self, store: Store) -> None:
        results = await asyncio.gather(
            *(add_user(store) for _ in range(8)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, User) for result in results) == 1
        assert sum(isinstance(result, EmailTaken) for result in results) == 7

    async def test_a_page_is_a_slice_of_all_newest_first_with_the_total(self, store: Store) -> None:
        users = [await add_user(store, name) for name in ("ada", "bob", "cid", "dan", "eve")]
        newest_first = users[::-1]
        async with store.autocommit() as db:
            for skip, limit in [(0, 100), (0, 2), (2, 2), (4, 2), (5, 2), (MAX_SKIP, 100), (0, 1)]:
                page = await db.users.page(skip=skip, limit=limit)
                assert list(page.items) == newest_first[skip : skip + limit]
                assert page.total == 5

    async def test_the_page_of_an_empty_store_is_empty(self, store: Store) -> None:
        async with store.autocommit() as db:
            page = await db.users.page(skip=0, limit=100)
        assert list(page.items) == []
        assert page.total == 0

    async def test_each_filter_of_a_page_counts_and_they_add_up(self, store: Store) -> None:
        ada = await add_user(store, "ada", role=Role.ADMIN)
        bob = await add_user(store, "bob")
        cid = await add_user(store, "cid", role=Role.ADMIN)
        async with store.autocommit() as db:
            cid = await db.users.save(cid.edited(LATER, is_active=False))

            async def found(
                *, email: str | None = None, role: Role | None = None, is_active: bool | None = None
            ) -> list[User]:
                page = await db.users.page(
                    skip=0, limit=10, email=email, role=role, is_active=is_active
                )
                assert page.total == len(page.items)
                return list(page.items)

            assert await found() == [cid, bob, ada]
            assert await found(role=Role.ADMIN) == [cid, ada]
            assert await found(role=Role.USER) == [bob]
            assert await found(is_active=True) == [bob, ada]
            assert await found(is_active=False) == [cid]
            assert await found(role=Role.ADMIN, is_active=True) == [ada]
            assert await found(email="bob@example.org") == [bob]
            assert await found(email="Bob@example.org") == []
            assert await found(email="bob%") == []
            assert await found(email="bob@example.org", role=Role.ADMIN) == []
            page = await db.users.page(skip=1, limit=1, role=Role.ADMIN)
            assert (list(page.items), page.total) == ([ada], 2)

    async def test_saving_stores_what_edited_changes(self, store: Store) -> None:
        ada = await add_user(store)
        edited = ada.edited(
            LATER, full_name=None, role=Role.ADMIN, is_active=False, time_zone="Asia/Tokyo"
        )
        async with store.autocommit() as db:
            assert await db.users.save(edited) == edited
            assert await db.users.get(ada.id) == edited

    async def test_saving_does_not_bring_an_old_password_back(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            assert await db.users.replace_password_hash(ada.id, hash_of(ada.email), "newer")
            await db.users.save(ada.edited(LATER, full_name="Countess"))
            assert (await db.users.get_credentials(ada.id)).password_hash == "newer"

    async def test_saving_a_removed_user_is_not_found(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            await db.users.remove(ada.id)
            with pytest.raises(NotFound):
                await db.users.save(ada.edited(LATER, full_name="Countess"))
            assert (await db.users.page(skip=0, limit=1)).total == 0

    async def test_a_password_hash_is_replaced_only_while_the_old_one_stands(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            assert not await db.users.replace_password_hash(ada.id, "another", "new")
            stored = await db.users.get_credentials(ada.id)
            assert stored == StoredCredentials(ada, hash_of(ada.email))
            assert await db.users.replace_password_hash(ada.id, stored.password_hash, "new")
            assert await db.users.get_credentials(ada.id) == replace(stored, password_hash="new")
            await db.users.remove(ada.id)
            assert not await db.users.replace_password_hash(ada.id, "new", "newer")

    async def test_removing_a_user_takes_all_that_is_theirs_and_no_more(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        tasks = {user.id: await add_task(store, user) for user in (ada, bob)}
        async with store.autocommit() as db:
            tokens = {user.id: await open_session(db, user) for user in (ada, bob)}
            await db.users.remove(ada.id)
            with pytest.raises(NotFound):
                await db.users.get(ada.id)
            with pytest.raises(NotFound):
                await db.tasks.get(ada.id, tasks[ada.id].id)
            assert await db.sessions.find_actor(tokens[ada.id].session_id, NOW) is None
            assert await db.sessions.find_actor(tokens[bob.id].session_id, NOW) is not None
            assert await db.tasks.get(bob.id, tasks[bob.id].id) == tasks[bob.id]
            assert await db.users.find_by_email("ada@example.org") is None
            assert await db.sessions.find_by_token(tokens[ada.id].digest) is None
        assert (await add_user(store, "ada")).id > bob.id

    async def test_a_locked_user_is_changed_by_one_after_the_other(self, store: Store) -> None:
        ada = await add_user(store)

        async def append(letter: str) -> None:
            async with store.transaction() as tx:
                user = await tx.users.lock(ada.id)
                await asyncio.sleep(
                    0.01
                )  # long enough for the others to read the same, if they could
                await tx.users.save(user.edited(LATER, full_name=f"{user.full_name}{letter}"))

        await asyncio.gather(*map(append, "xyz"))
        async with store.autocommit() as db:
            name = (await db.users.get(ada.id)).full_name
        assert name is not None
        assert sorted(name) == sorted("Adaxyz")

    async def test_the_active_administrators_are_locked_in_the_order_of_their_ids(
        self, store: Store
    ) -> None:
        ada, _, cid, dan = [
            await add_user(store, name, role=role)
            for name, role in [
                ("ada", Role.ADMIN),
                ("bob", Role.USER),
                ("cid", Role.ADMIN),
                ("dan", Role.ADMIN),
            ]
        ]
        async with store.autocommit() as db:
            await db.users.save(dan.edited(LATER, is_active=False))
            await db.users.save(ada.edited(LATER, full_name="moved to the end of the table"))
        async with store.transaction() as tx:
            assert list(await tx.users.lock_admins()) == [ada.id, cid.id]

    async def test_of_two_administrators_who_demote_each_other_one_remains(
        self, store: Store
    ) -> None:
        barrier = asyncio.Barrier(2)

        async def demote(other: User) -> None:
            await barrier.wait()
            async with store.transaction() as tx:
                admins = await tx.users.lock_admins()
                await asyncio.sleep(0.01)  # without the lock both would pass the check here
                if list(admins) == [other.id]:
                    raise LastAdmin
                await tx.users.save(replace(other, role=Role.USER))

        for turn in range(20):
            ada = await add_user(store, f"ada{turn}", role=Role.ADMIN)
            bob = await add_user(store, f"bob{turn}", role=Role.ADMIN)
            results = await asyncio.gather(demote(ada), demote(bob), return_exceptions=True)
            assert sorted(map(repr, results)) == sorted([repr(LastAdmin()), "None"])
            async with store.autocommit() as db:
                left = await db.users.page(skip=0, limit=10, role=Role.ADMIN, is_active=True)
                assert left.total == 1
                await db.users.remove(left.items[0].id)

    async def test_addresses_of_every_domain_fit(self, store: Store) -> None:
        longest = "a" * 64 + "@" + ".".join(["b" * 61] * 2 + ["c" * 61, "org"])
        assert len(longest) == 254
        async with store.autocommit() as db:
            for address in (longest, "a@xn--mnchen-3ya.de", "o'neil!#$%&*@example.org"):
                key = Email.parse(address).key
                added = await db.users.add(
                    User.new(address, NOW, full_name=None, role=Role.USER), "h"
                )
                assert await db.users.find_by_email(key) == added
