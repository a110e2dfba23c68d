"""Having an account and managing other people's, on both stores."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from taskcore import (
    SYSTEM,
    Core,
    EmailTaken,
    Forbidden,
    Invalid,
    InvalidCredentials,
    InvalidToken,
    LastAdmin,
    NotFound,
    Role,
    User,
    UserId,
)
from taskcore.ports import Store
from tests.conftest import ManualClock, bound, cheap_argon2, until
from tests.factories import PASSWORD
from tests.usecases.people import Person, address, join
from tests.usecases.spies import WatchedHasher

pytestmark = pytest.mark.anyio

NOBODY = UserId(10**9)


def codes(refusal: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    return {problem.field: problem.code for problem in refusal.value.problems}


async def fresh(core: Core, person: Person) -> User:
    return await core.accounts.get(SYSTEM, person.user.id)


# One's own


async def test_registering_makes_a_user(core: Core, clock: ManualClock) -> None:
    user = await core.accounts.register(
        email="Ada@Example.org", password=PASSWORD, full_name="Ada Lovelace"
    )
    assert (user.email, user.full_name) == ("Ada@example.org", "Ada Lovelace")
    assert (user.role, user.is_active) == (Role.USER, True)
    assert user.created_at == user.updated_at == clock.now()
    assert await core.accounts.get(SYSTEM, user.id) == user


@pytest.mark.parametrize("email", ["ada@example.org", "ADA@example.org", "Ada@EXAMPLE.ORG"])
async def test_an_address_is_registered_once(core: Core, email: str) -> None:
    await core.accounts.register(email="ada@example.org", password=PASSWORD)
    with pytest.raises(EmailTaken):
        await core.accounts.register(email=email, password=PASSWORD)
    with pytest.raises(EmailTaken):
        await core.accounts.create(SYSTEM, email=email, password=PASSWORD)
    assert (await core.accounts.page(SYSTEM)).total == 1


async def test_of_many_who_register_one_address_at_once_one_gets_it(core: Core) -> None:
    results = await asyncio.gather(
        *(core.accounts.register(email=address("ada"), password=PASSWORD) for _ in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, User) for result in results) == 1
    assert sum(isinstance(result, EmailTaken) for result in results) == 9


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"email": "ada"}, "email", "invalid_email"),
        ({"email": ""}, "email", "too_short"),
        ({"email": "a" * 300 + "@x.org"}, "email", "too_long"),
        ({"email": "a\x00b@x.org"}, "email", "control_character"),
        ({"password": "1234567"}, "password", "too_short"),
        ({"password": "x" * 257}, "password", "too_long"),
        ({"password": "x" * 10**6}, "password", "too_long"),
        ({"password": "1234567\x00"}, "password", "control_character"),
        ({"password": "1234567\ud800"}, "password", "control_character"),
        ({"full_name": "x" * 256}, "full_name", "too_long"),
        ({"full_name": "x\x00"}, "full_name", "control_character"),
        ({"full_name": "x\udfff"}, "full_name", "not_unicode"),
    ],
)
async def test_what_breaks_a_rule_is_neither_hashed_nor_stored(
    store: Store, clock: ManualClock, given: dict[str, str], field: str, code: str
) -> None:
    hasher = WatchedHasher(cheap_argon2())
    core = bound(store, clock, hasher)
    good: dict[str, Any] = {"email": address("ada"), "password": PASSWORD}
    with pytest.raises(Invalid) as refusal:
        await core.accounts.register(**(good | given))
    assert codes(refusal) == {field: code}
    with pytest.raises(Invalid):
        await core.accounts.create(SYSTEM, **(good | given))
    assert hasher.hashed == 0
    assert (await core.accounts.page(SYSTEM)).total == 0


async def test_people_see_and_change_their_own_profile(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    clock.advance(hours=1)
    changed = await core.accounts.change_profile(ada.actor, full_name="Ada")
    assert (changed.full_name, changed.updated_at) == ("Ada", clock.now())
    clock.advance(hours=1)
    assert await core.accounts.change_profile(ada.actor) == changed
    assert await core.accounts.change_profile(ada.actor, full_name="Ada") == changed
    assert await core.accounts.me(ada.actor) == changed
    removed = await core.accounts.change_profile(ada.actor, full_name=None)
    assert removed.full_name is None
    assert await core.accounts.me(ada.actor) == removed
    with pytest.raises(Invalid) as refusal:
        await core.accounts.change_profile(ada.actor, full_name="x" * 256)
    assert codes(refusal) == {"full_name": "too_long"}


async def test_people_delete_their_account_with_their_password(core: Core) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    for wrong in ("wrong horse", "", "x" * 10**6, "\ud800" * 9):
        with pytest.raises(InvalidCredentials):
            await core.accounts.delete_own(ada.actor, password=wrong)
    assert await core.accounts.me(ada.actor) == ada.user
    await core.accounts.delete_own(ada.actor, password=PASSWORD)
    with pytest.raises(NotFound):
        await fresh(core, ada)
    with pytest.raises(NotFound):
        await core.tasks.get(SYSTEM, task.id)
    await core.accounts.register(email=ada.user.email, password=PASSWORD)


async def test_a_password_is_verified_once_when_an_account_is_deleted(
    store: Store, clock: ManualClock
) -> None:
    hasher = WatchedHasher(cheap_argon2())
    core = bound(store, clock, hasher)
    ada = await join(core, "ada")
    for wrong in ("wrong horse", "", "x" * 10**6):
        hasher.verified.clear()
        with pytest.raises(InvalidCredentials):
            await core.accounts.delete_own(ada.actor, password=wrong)
        assert len(hasher.verified) == 1


async def changed_at_once(
    cores: Sequence[Core], ada: Person, passwords: Sequence[str]
) -> list[BaseException | None]:
    return await asyncio.gather(
        *(
            core.accounts.change_password(
                ada.actor, current_password=PASSWORD, new_password=password
            )
            for core, password in zip(cores, passwords, strict=True)
        ),
        return_exceptions=True,
    )


async def test_changes_of_one_password_at_once_cost_what_they_cost_one_after_another(
    store: Store,
) -> None:
    async with cheap_argon2() as inner:
        hasher = WatchedHasher(inner)
        core = bound(store, ManualClock(), hasher)
        ada = await join(core, "ada")
        hasher.verified.clear()
        hasher.hashed = 0
        assert await changed_at_once([core] * 5, ada, [PASSWORD] * 5) == [None] * 5
        assert (len(hasher.verified), hasher.hashed) == (5, 5)
        hasher.verified.clear()
        hasher.hashed = 0
        outcomes = await changed_at_once([core] * 5, ada, [f"horse {n} of five" for n in range(5)])
        assert [type(each) for each in outcomes] == [type(None)] + [InvalidCredentials] * 4
        assert (len(hasher.verified), hasher.hashed) == (5, 1)


async def test_a_change_that_another_process_overtakes_verifies_again_and_hashes_once(
    store: Store,
) -> None:
    async with cheap_argon2() as inner:
        hasher = WatchedHasher(inner)
        core, elsewhere = (bound(store, ManualClock(), each) for each in (hasher, inner))
        ada = await join(core, "ada")
        for theirs, outcome in ((PASSWORD, None), ("another horse", InvalidCredentials)):
            hasher.verified.clear()
            hasher.hashed = 0

            async def overtake(theirs: str = theirs) -> None:
                assert await changed_at_once([elsewhere], ada, [theirs]) == [None]

            hasher.while_hashing = overtake
            (found,) = await changed_at_once([core], ada, [PASSWORD])
            assert found is None if outcome is None else isinstance(found, outcome)
            assert (len(hasher.verified), hasher.hashed) == (2, 1)


async def test_a_password_is_verified_for_one_request_of_a_user_at_a_time(store: Store) -> None:
    async with cheap_argon2() as inner:
        hasher = WatchedHasher(inner)
        core = bound(store, ManualClock(), hasher)
        ada, bob = await join(core, "ada"), await join(core, "bob")
        hasher.verified.clear()
        go = asyncio.Event()

        async def hold() -> None:
            await go.wait()

        hasher.while_verifying = hold
        requests = [
            asyncio.create_task(core.accounts.delete_own(actor, password="wrong horse"))
            for actor in (ada.actor, ada.actor, bob.actor, ada.actor)
        ]
        await until(lambda: len(hasher.verified) == 2)
        await until(lambda: core.accounts.passwords.waiting == 2)
        assert len(hasher.verified) == 2
        go.set()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert {type(each) for each in outcomes} == {InvalidCredentials}


# Other people's


async def test_an_administrator_makes_finds_changes_and_deletes_accounts(
    core: Core, clock: ManualClock
) -> None:
    root = await join(core, "root", Role.ADMIN)
    made = await core.accounts.create(
        root.actor, email="Ada@x.org", password=PASSWORD, full_name="Ada", role=Role.ADMIN
    )
    assert (made.role, made.full_name) == (Role.ADMIN, "Ada")
    assert await core.accounts.find(root.actor, "ADA@X.ORG") == made
    assert await core.accounts.find(root.actor, "bob@x.org") is None
    with pytest.raises(Invalid):
        await core.accounts.find(root.actor, "bob")
    clock.advance(hours=1)
    changed = await core.accounts.change(root.actor, made.id, role=Role.USER, full_name=None)
    assert (changed.role, changed.full_name, changed.is_active) == (Role.USER, None, True)
    assert changed.updated_at == clock.now()
    assert await core.accounts.get(root.actor, made.id) == changed
    clock.advance(hours=1)
    assert await core.accounts.change(root.actor, made.id, role=Role.USER) == changed
    await core.accounts.delete(root.actor, made.id)
    for missing in (
        core.accounts.get(root.actor, made.id),
        core.accounts.change(root.actor, made.id, full_name="x"),
        core.accounts.delete(root.actor, made.id),
    ):
        with pytest.raises(NotFound):
            await missing


async def test_a_page_of_accounts_is_filtered_and_bounded(core: Core) -> None:
    root = await join(core, "root", Role.ADMIN)
    ada, bob = await join(core, "ada"), await join(core, "bob")
    gone = await core.accounts.change(SYSTEM, bob.user.id, is_active=False)
    everybody = await core.accounts.page(root.actor)
    assert list(everybody.items) == [gone, ada.user, root.user]
    assert everybody.total == 3
    second = await core.accounts.page(root.actor, skip=1, limit=1)
    assert (list(second.items), second.total) == ([ada.user], 3)
    found = await core.accounts.page(root.actor, email="BOB@example.org")
    assert (list(found.items), found.total) == ([gone], 1)
    assert [u.id for u in (await core.accounts.page(root.actor, is_active=False)).items] == [
        gone.id
    ]
    assert [u.id for u in (await core.accounts.page(root.actor, role=Role.ADMIN)).items] == [
        root.user.id
    ]
    with pytest.raises(Invalid):
        await core.accounts.page(root.actor, email="bob")
    for skip, limit in [(-1, 1), (10_001, 1), (0, 0), (0, 101), (-1, -1)]:
        with pytest.raises(Invalid):
            await core.accounts.page(root.actor, skip=skip, limit=limit)


# The last administrator

LAST_ADMIN_LEAVES: dict[str, Callable[[Core, Person], Awaitable[Any]]] = {
    "is demoted": lambda core, root: core.accounts.change(root.actor, root.user.id, role=Role.USER),
    "is deactivated": lambda core, root: core.accounts.change(
        SYSTEM, root.user.id, is_active=False
    ),
    "is deleted": lambda core, root: core.accounts.delete(SYSTEM, root.user.id),
    "goes": lambda core, root: core.accounts.delete_own(root.actor, password=PASSWORD),
}


@pytest.mark.parametrize("leaves", LAST_ADMIN_LEAVES)
async def test_the_last_active_administrator_stays(core: Core, leaves: str) -> None:
    root = await join(core, "root", Role.ADMIN)
    ada = await join(core, "ada", Role.ADMIN)
    await join(core, "bob")
    await core.accounts.change(root.actor, ada.user.id, is_active=False)
    with pytest.raises(LastAdmin):
        await LAST_ADMIN_LEAVES[leaves](core, root)
    assert await fresh(core, root) == root.user
    assert await core.sessions.authenticate(root.grant.access_token) == root.actor
    await core.accounts.change(root.actor, ada.user.id, is_active=True)
    await LAST_ADMIN_LEAVES[leaves](core, root)
    assert (await core.accounts.page(SYSTEM, role=Role.ADMIN, is_active=True)).total == 1


async def test_the_last_administrator_may_change_in_other_ways(core: Core) -> None:
    root = await join(core, "root", Role.ADMIN)
    bob = await join(core, "bob")
    changed = await core.accounts.change(
        root.actor, root.user.id, full_name="Root", role=Role.ADMIN, is_active=True
    )
    assert changed.full_name == "Root"
    await core.accounts.change(root.actor, bob.user.id, is_active=False)
    await core.accounts.delete(root.actor, bob.user.id)


Leave = Callable[[Core, Person], Awaitable[Any]]
DEMOTE: Leave = LAST_ADMIN_LEAVES["is demoted"]
DEACTIVATE: Leave = LAST_ADMIN_LEAVES["is deactivated"]
DELETE: Leave = LAST_ADMIN_LEAVES["is deleted"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(DEMOTE, DEMOTE), (DEACTIVATE, DELETE), (DELETE, DELETE), (DEMOTE, DELETE)],
)
async def test_of_two_administrators_who_leave_at_once_one_stays(
    core: Core, store: Store, one: Leave, other: Leave
) -> None:
    for turn in range(10):
        ada = await join(core, f"ada{turn}", Role.ADMIN)
        bob = await join(core, f"bob{turn}", Role.ADMIN)
        results = await asyncio.gather(one(core, ada), other(core, bob), return_exceptions=True)
        assert sum(isinstance(result, LastAdmin) for result in results) == 1
        assert sum(isinstance(result, Exception) for result in results) == 1
        left = await core.accounts.page(SYSTEM, role=Role.ADMIN, is_active=True)
        assert left.total == 1
        async with store.autocommit() as db:  # the core would not
            await db.users.remove(left.items[0].id)


async def test_registering_reports_every_broken_rule_at_once(core: Core) -> None:
    with pytest.raises(Invalid) as refusal:
        await core.accounts.register(email="nobody", password="short", full_name="x" * 256)
    assert [problem.field for problem in refusal.value.problems] == [
        "email",
        "full_name",
        "password",
    ]


async def test_a_profile_takes_no_role(core: Core) -> None:
    ada = await join(core, "ada")
    with pytest.raises(TypeError, match="role"):
        await core.accounts.change_profile(ada.actor, role=Role.ADMIN)  # type: ignore[call-arg]
    assert (await core.accounts.me(ada.actor)).role is Role.USER


async def test_an_administrator_demoted_during_a_request_is_refused(
    core: Core,
) -> None:
    boss, rebel = await join(core, "boss", Role.ADMIN), await join(core, "rebel", Role.ADMIN)
    await core.accounts.change(boss.actor, rebel.user.id, role=Role.USER)
    # `rebel.actor` is what was read before: a request that is still under way has it.
    with pytest.raises(Forbidden):
        await core.accounts.change(rebel.actor, rebel.user.id, role=Role.ADMIN)
    with pytest.raises(Forbidden):
        await core.accounts.delete(rebel.actor, boss.user.id)
    with pytest.raises(Forbidden):
        await core.accounts.create(
            rebel.actor, email=address("back"), password=PASSWORD, role=Role.ADMIN
        )
    assert (await fresh(core, rebel)).role is Role.USER
    assert await core.accounts.find(SYSTEM, address("back")) is None


async def test_deactivating_ends_every_session_for_good(core: Core) -> None:
    ada = await join(core, "ada")
    await core.accounts.change(SYSTEM, ada.user.id, is_active=False)
    await core.accounts.change(SYSTEM, ada.user.id, is_active=True)
    with pytest.raises(InvalidToken):
        await core.sessions.authenticate(ada.grant.access_token)
    with pytest.raises(InvalidToken):
        await core.sessions.refresh(refresh_token=ada.grant.refresh_token)
