"""Administrators set the password of another account, on both stores."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from taskcore import (
    SYSTEM,
    Core,
    Forbidden,
    Invalid,
    InvalidCredentials,
    InvalidToken,
    NotFound,
    PasswordChangeRequired,
    Role,
    UserId,
)
from taskcore.domain.rate_limits import LOGIN
from taskcore.ports import Store
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.factories import PASSWORD
from tests.usecases.people import Person, address, hash_of, join
from tests.usecases.spies import WatchedHasher

pytestmark = pytest.mark.anyio

NEW = "another correct horse"


@pytest.fixture
async def root(core: Core) -> Person:
    return await join(core, "root", Role.ADMIN)


@pytest.fixture
async def ada(core: Core) -> Person:
    return await join(core, "ada")


async def refused(core: Core, password: str, **more: Any) -> None:
    with pytest.raises(InvalidCredentials):
        await core.sessions.log_in(email=address("ada"), password=password, **more)


async def test_the_new_password_is_the_only_one_and_every_session_ends(
    core: Core, root: Person, ada: Person
) -> None:
    await core.sessions.log_in(email=address("ada"), password=PASSWORD)
    assert await core.accounts.set_password(root.actor, ada.user.id, password=NEW) == 2
    with pytest.raises(InvalidToken):
        await core.sessions.authenticate(ada.grant.access_token)
    with pytest.raises(InvalidToken):
        await core.sessions.refresh(refresh_token=ada.grant.refresh_token)
    await refused(core, PASSWORD)
    await core.sessions.log_in(email=address("ada"), password=NEW)
    assert await core.sessions.authenticate(root.grant.access_token) == root.actor


async def test_a_one_time_password_opens_no_session_but_with_another_password(
    core: Core, root: Person, ada: Person
) -> None:
    made = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    await refused(core, PASSWORD)
    for _ in range(2 * LOGIN.quota):  # the password is right, so that no limit is used up
        with pytest.raises(PasswordChangeRequired):
            await core.sessions.log_in(email=address("ada"), password=made.password)
    assert await core.sessions.own(ada.actor) == []
    await refused(core, "wrong horse", new_password=NEW)
    for chosen, code in (
        ("short", "too_short"),
        (address("ada"), "password_too_personal"),
        ("password1", "password_too_common"),
        (made.password, "password_unchanged"),
    ):
        with pytest.raises(Invalid) as broken:
            await core.sessions.log_in(
                email=address("ada"), password=made.password, new_password=chosen
            )
        (problem,) = broken.value.problems
        assert (problem.field, problem.code) == ("new_password", code)
    grant = await core.sessions.log_in(
        email=address("ada"), password=made.password, new_password=NEW
    )
    assert (await core.sessions.authenticate(grant.access_token)).user_id == ada.user.id
    await refused(core, made.password)
    await refused(core, made.password, new_password=f"{NEW}, too")
    await core.sessions.log_in(email=address("ada"), password=NEW)


async def test_an_ordinary_login_takes_no_new_password(core: Core, ada: Person) -> None:
    with pytest.raises(Invalid) as broken:
        await core.sessions.log_in(email=address("ada"), password=PASSWORD, new_password=NEW)
    assert [problem.code for problem in broken.value.problems] == ["no_one_time_password"]
    assert len(await core.sessions.own(ada.actor)) == 1
    await refused(core, NEW)


async def test_a_one_time_password_is_a_wrong_one_after_a_day(
    core: Core, clock: ManualClock, root: Person, ada: Person
) -> None:
    made = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    assert timedelta(0) <= made.expires_at + timedelta(seconds=1) - clock.now() - timedelta(days=1)
    clock.advance(days=1)
    await refused(core, made.password)
    await refused(core, made.password, new_password=NEW)
    again = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    await core.sessions.log_in(email=address("ada"), password=again.password, new_password=NEW)


async def test_the_last_one_that_was_set_counts(core: Core, root: Person, ada: Person) -> None:
    first = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    second = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    await refused(core, first.password, new_password=NEW)
    await core.accounts.set_password(root.actor, ada.user.id, password=NEW)
    await refused(core, second.password, new_password=NEW)
    await core.sessions.log_in(email=address("ada"), password=NEW)


async def test_a_one_time_password_serves_one_of_many_at_once(
    core: Core, root: Person, ada: Person
) -> None:
    made = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    results = await asyncio.gather(
        *(
            core.sessions.log_in(
                email=address("ada"), password=made.password, new_password=f"{NEW} {n}"
            )
            for n in range(4)
        ),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == [
        *("Grant", "InvalidCredentials", "InvalidCredentials", "InvalidCredentials")
    ]
    assert len(await core.sessions.own(ada.actor)) == 1


async def test_a_deactivated_account_gets_a_password_and_no_session(
    core: Core, root: Person, ada: Person
) -> None:
    await core.accounts.change(root.actor, ada.user.id, is_active=False)
    made = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    await refused(core, made.password)
    await refused(core, made.password, new_password=NEW)
    await core.accounts.change(root.actor, ada.user.id, is_active=True)
    await core.sessions.log_in(email=address("ada"), password=made.password, new_password=NEW)


async def test_deactivation_during_the_login_leaves_the_one_time_password(
    store: Store, clock: ManualClock
) -> None:
    hasher = WatchedHasher(cheap_argon2())
    core = bound(store, clock, hasher)
    ada = await join(core, "ada")
    made = await core.accounts.set_one_time_password(SYSTEM, ada.user.id)
    before = await hash_of(store, ada.user.id)

    async def deactivate() -> None:
        await core.accounts.change(SYSTEM, ada.user.id, is_active=False)

    hasher.while_hashing = deactivate
    await refused(core, made.password, new_password=NEW)
    assert await hash_of(store, ada.user.id) == before


async def test_it_keeps_the_rules_of_passwords(core: Core, root: Person, ada: Person) -> None:
    for password, code in (
        ("short", "too_short"),
        ("password1", "password_too_common"),
        (address("ada"), "password_too_personal"),
        ("taskcore", "password_too_personal"),
    ):
        with pytest.raises(Invalid) as broken:
            await core.accounts.set_password(root.actor, ada.user.id, password=password)
        (problem,) = broken.value.problems
        assert (problem.field, problem.code) == ("password", code)
    await core.sessions.log_in(email=address("ada"), password=PASSWORD)


async def test_administrators_change_their_own_with_the_current_one(
    core: Core, root: Person
) -> None:
    with pytest.raises(Forbidden):
        await core.accounts.set_password(root.actor, root.user.id, password=NEW)
    with pytest.raises(Forbidden):
        await core.accounts.set_one_time_password(root.actor, root.user.id)
    await core.accounts.set_password(SYSTEM, root.user.id, password=NEW)


async def test_no_transaction_is_open_while_it_is_hashed(store: Store, clock: ManualClock) -> None:
    hasher = WatchedHasher(cheap_argon2())
    core = bound(store, clock, hasher)
    ada = await join(core, "ada")

    async def use_the_store() -> None:
        async with asyncio.timeout(1), store.transaction() as tx:
            await tx.users.lock(ada.user.id)

    hasher.while_hashing = hasher.while_verifying = use_the_store
    await core.accounts.set_password(SYSTEM, ada.user.id, password=NEW)
    made = await core.accounts.set_one_time_password(SYSTEM, ada.user.id)
    await core.sessions.log_in(email=address("ada"), password=made.password, new_password=NEW)


async def test_what_is_stored_is_a_wrong_password_for_code_that_knows_no_mark(
    core: Core, store: Store, root: Person, ada: Person
) -> None:
    """Such as servers of the previous release: they let no one in, rather than everyone."""
    made = await core.accounts.set_one_time_password(root.actor, ada.user.id)
    stored = await hash_of(store, ada.user.id)
    assert not await cheap_argon2().verify(made.password, stored)


async def test_an_unknown_account_has_no_password(core: Core, root: Person) -> None:
    for number in (UserId(2**62), UserId(0)):
        with pytest.raises(NotFound):
            await core.accounts.set_password(root.actor, number, password=NEW)
        with pytest.raises(NotFound):
            await core.accounts.set_one_time_password(root.actor, number)
