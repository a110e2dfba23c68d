"""Logging in, staying logged in and being recognised, on both stores."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import bcrypt
import pytest

from taskcore import (
    SYSTEM,
    Actor,
    Core,
    ExpiredToken,
    Forbidden,
    Grant,
    InvalidCredentials,
    InvalidToken,
    Role,
    SessionId,
    TaskcoreError,
    Unavailable,
    UserId,
)
from taskcore.domain.audit import AuditEventName
from taskcore.domain.users import User
from taskcore.ports import AccessClaims, Store
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.factories import PASSWORD
from tests.usecases.people import address, hash_of, join, log_in, put_hash
from tests.usecases.spies import WatchedHasher, nothing

pytestmark = pytest.mark.anyio


@pytest.fixture
def hasher() -> WatchedHasher:
    return WatchedHasher(cheap_argon2())


@pytest.fixture
def watched(store: Store, clock: ManualClock, hasher: WatchedHasher) -> Core:
    return bound(store, clock, hasher)


async def refresh(core: Core, token: str) -> Grant:
    return await core.sessions.refresh(refresh_token=token)


async def works(core: Core, grant: Grant) -> bool:
    try:
        await core.sessions.authenticate(grant.access_token)
    except InvalidToken:
        return False
    return True


# Logging in


async def test_a_login_tells_who_came_in_and_for_how_long(core: Core) -> None:
    user = await core.accounts.register(email=address("ada"), password=PASSWORD)
    grant = await core.sessions.log_in(email=address("ada"), password=PASSWORD)
    assert grant.user == user
    assert grant.expires_in == 1800
    actor = await core.sessions.authenticate(grant.access_token)
    assert (actor.user_id, actor.role) == (user.id, Role.USER)
    assert actor.session_id is not None


async def test_every_login_is_a_session_of_its_own(core: Core) -> None:
    ada = await join(core, "ada")
    again = await core.sessions.log_in(email=ada.user.email, password=PASSWORD)
    assert again.refresh_token != ada.grant.refresh_token
    actor = await core.sessions.authenticate(again.access_token)
    assert actor.session_id != ada.actor.session_id


async def test_an_address_may_be_spelt_in_another_case(core: Core) -> None:
    ada = await join(core, "ada")
    grant = await core.sessions.log_in(email="ADA@EXAMPLE.ORG", password=PASSWORD)
    assert grant.user == ada.user


async def test_a_password_may_be_typed_in_either_form_of_unicode(core: Core) -> None:
    await core.accounts.register(email=address("ada"), password="caf\u00e9 cr\u00e8me")
    await core.sessions.log_in(email=address("ada"), password="cafe\u0301 cre\u0300me")
    for other in (
        "cafe creme",
        "caf\u00e9 cr\u00e8me ",
        " caf\u00e9 cr\u00e8me",
        "CAF\u00c9 CR\u00c8ME",
    ):
        with pytest.raises(InvalidCredentials):
            await core.sessions.log_in(email=address("ada"), password=other)


async def test_failed_logins_cannot_be_told_apart_and_cost_one_verification(
    watched: Core, hasher: WatchedHasher, store: Store
) -> None:
    for name in ("ada", "gone", "broken"):
        await watched.accounts.register(email=address(name), password=PASSWORD)
    gone = await watched.accounts.find(SYSTEM, address("gone"))
    broken = await watched.accounts.find(SYSTEM, address("broken"))
    assert gone
    assert broken
    await watched.accounts.change(SYSTEM, gone.id, is_active=False)
    await put_hash(store, broken.id, "?")
    hasher.hashed = hasher.longest = 0
    attempts = {
        "an unknown address": (address("nobody"), PASSWORD),
        "a wrong password": (address("ada"), "wrong horse"),
        "a deactivated account": (address("gone"), PASSWORD),
        "a deactivated account and a wrong password": (address("gone"), "wrong horse"),
        "an unreadable hash": (address("broken"), PASSWORD),
        "no address": ("ada", PASSWORD),
        "nothing": ("", ""),
        "an address that no rule allows": ("\u0430da@example.org", PASSWORD),
        "NUL in the address": ("ada\x00@example.org", PASSWORD),
        "an address as long as a book": ("a" * 10**6 + "@example.org", PASSWORD),
        "a password too short": (address("ada"), "x"),
        "a password as long as a book": (address("ada"), PASSWORD + "x" * 10**6),
        "NUL in the password": (address("ada"), PASSWORD + "\x00"),
        "a password that is no text": (address("ada"), PASSWORD + "\ud800"),
    }
    refusals = set()
    for what, (email, password) in attempts.items():
        hasher.verified.clear()
        with pytest.raises(InvalidCredentials) as refusal:
            await watched.sessions.log_in(email=email, password=password)
        refusals.add((type(refusal.value), refusal.value.code, refusal.value.detail))
        assert len(hasher.verified) == 1, what
    assert len(refusals) == 1
    assert hasher.hashed == 0
    assert hasher.longest <= 256


async def test_no_transaction_is_open_while_a_password_is_checked(
    watched: Core, hasher: WatchedHasher, store: Store
) -> None:
    await watched.accounts.register(email=address("ada"), password=PASSWORD)

    async def use_the_store() -> None:
        async with asyncio.timeout(1), store.transaction() as tx:
            assert await tx.users.lock_admins() == []

    hasher.while_verifying = hasher.while_hashing = use_the_store
    await watched.accounts.register(email=address("bob"), password=PASSWORD)
    grant = await watched.sessions.log_in(email=address("ada"), password=PASSWORD)
    actor = await watched.sessions.authenticate(grant.access_token)
    await watched.accounts.delete_own(actor, password=PASSWORD)
    assert len(hasher.verified) == 2


async def test_an_account_that_goes_while_its_password_is_checked_is_not_logged_in(
    watched: Core, hasher: WatchedHasher
) -> None:
    ada = await watched.accounts.register(email=address("ada"), password=PASSWORD)

    async def remove() -> None:
        await watched.accounts.delete(SYSTEM, ada.id)

    hasher.while_verifying = remove
    with pytest.raises(InvalidCredentials):
        await watched.sessions.log_in(email=address("ada"), password=PASSWORD)


async def test_an_account_deactivated_while_its_password_is_checked_is_not_logged_in(
    watched: Core, hasher: WatchedHasher
) -> None:
    ada = await watched.accounts.register(email=address("ada"), password=PASSWORD)

    async def deactivate() -> None:
        await watched.accounts.change(SYSTEM, ada.id, is_active=False)

    hasher.while_verifying = deactivate
    with pytest.raises(InvalidCredentials):
        await watched.sessions.log_in(email=address("ada"), password=PASSWORD)


# Hashes of the past


async def with_bcrypt(core: Core, store: Store) -> tuple[User, str]:
    user = await core.accounts.register(email=address("ada"), password=PASSWORD)
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await put_hash(store, user.id, old)
    return user, old


async def test_a_login_replaces_a_hash_of_the_past(watched: Core, store: Store) -> None:
    user, old = await with_bcrypt(watched, store)
    await watched.sessions.log_in(email=user.email, password=PASSWORD)
    new = await hash_of(store, user.id)
    assert new.startswith("$argon2id$")
    await watched.sessions.log_in(email=user.email, password=PASSWORD)
    assert await hash_of(store, user.id) == new
    assert old != new


async def test_a_failed_login_replaces_nothing(watched: Core, store: Store) -> None:
    user, old = await with_bcrypt(watched, store)
    with pytest.raises(InvalidCredentials):
        await watched.sessions.log_in(email=user.email, password="wrong horse")
    await watched.accounts.change(SYSTEM, user.id, is_active=False)
    with pytest.raises(InvalidCredentials):
        await watched.sessions.log_in(email=user.email, password=PASSWORD)
    assert await hash_of(store, user.id) == old


async def test_a_rehash_that_fails_does_not_fail_the_login(
    watched: Core, store: Store, hasher: WatchedHasher
) -> None:
    user, old = await with_bcrypt(watched, store)
    hasher.full = True
    grant = await watched.sessions.log_in(email=user.email, password=PASSWORD)
    assert await works(watched, grant)
    assert await hash_of(store, user.id) == old


async def test_a_rehash_does_not_overwrite_a_password_changed_meanwhile(
    watched: Core, store: Store, hasher: WatchedHasher
) -> None:
    user, old = await with_bcrypt(watched, store)

    async def change() -> None:
        hasher.while_hashing = nothing
        async with store.autocommit() as db:
            assert await db.users.replace_password_hash(user.id, old, "a newer one")

    hasher.while_hashing = change
    with pytest.raises(InvalidCredentials):
        await watched.sessions.log_in(email=user.email, password=PASSWORD)
    assert await hash_of(store, user.id) == "a newer one"


async def test_two_who_log_in_at_once_may_both_replace_a_hash_of_the_past(
    watched: Core, store: Store, hasher: WatchedHasher
) -> None:
    user, _ = await with_bcrypt(watched, store)

    async def come_first() -> None:
        hasher.while_hashing = nothing
        await watched.sessions.log_in(email=user.email, password=PASSWORD)

    hasher.while_hashing = come_first
    grant = await watched.sessions.log_in(email=user.email, password=PASSWORD)
    assert await works(watched, grant)
    assert (await hash_of(store, user.id)).startswith("$argon2id$")


async def test_a_full_hasher_is_said_to_be_unavailable(
    store: Store, clock: ManualClock, hasher: WatchedHasher
) -> None:
    core = bound(store, clock, hasher)
    hasher.full = True
    with pytest.raises(Unavailable):
        await core.accounts.register(email=address("ada"), password=PASSWORD)
    assert await core.accounts.find(SYSTEM, address("ada")) is None


# Staying logged in


async def test_a_refresh_brings_a_new_pair_in_the_same_session(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    clock.advance(hours=1)
    grant = await refresh(core, ada.grant.refresh_token)
    assert grant.refresh_token != ada.grant.refresh_token
    assert grant.access_token != ada.grant.access_token
    assert grant.user == ada.user
    assert await core.sessions.authenticate(grant.access_token) == ada.actor


@pytest.mark.parametrize("seconds", [0, 1, 10])
async def test_a_retry_within_seconds_brings_the_same_successor(
    core: Core, clock: ManualClock, seconds: float
) -> None:
    ada = await join(core, "ada")
    first = await refresh(core, ada.grant.refresh_token)
    clock.advance(seconds=seconds)
    retry = await refresh(core, ada.grant.refresh_token)
    assert retry.refresh_token == first.refresh_token
    assert await works(core, retry)
    await refresh(core, first.refresh_token)


async def test_a_replay_ends_the_session_and_that_stands(
    core: Core, clock: ManualClock, store: Store
) -> None:
    ada = await join(core, "ada")
    successor = await refresh(core, ada.grant.refresh_token)
    clock.advance(seconds=10, microseconds=1)
    assert await works(core, successor)
    with pytest.raises(InvalidToken) as refusal:
        await refresh(core, ada.grant.refresh_token)
    assert type(refusal.value) is InvalidToken
    assert ada.actor.session_id is not None
    async with store.autocommit() as db:  # of another connection: what it sees is committed
        assert await db.sessions.find_actor(ada.actor.session_id, clock.now()) is None
    assert not await works(core, ada.grant)
    assert not await works(core, successor)
    for token in (successor.refresh_token, ada.grant.refresh_token):
        with pytest.raises(InvalidToken):
            await refresh(core, token)


async def test_a_replay_ends_one_session_and_no_other(core: Core, clock: ManualClock) -> None:
    ada, bob = await join(core, "ada"), await join(core, "bob")
    elsewhere = await core.sessions.log_in(email=ada.user.email, password=PASSWORD)
    await refresh(core, ada.grant.refresh_token)
    clock.advance(minutes=1)
    with pytest.raises(InvalidToken):
        await refresh(core, ada.grant.refresh_token)
    for grant in (elsewhere, bob.grant):
        assert await works(core, grant)
        await refresh(core, grant.refresh_token)


async def test_a_token_whose_successor_is_used_is_a_replay_at_once(core: Core) -> None:
    ada = await join(core, "ada")
    second = await refresh(core, ada.grant.refresh_token)
    third = await refresh(core, second.refresh_token)
    with pytest.raises(InvalidToken):
        await refresh(core, ada.grant.refresh_token)
    assert not await works(core, third)
    with pytest.raises(InvalidToken):
        await refresh(core, third.refresh_token)


async def test_forty_who_refresh_at_once_get_one_successor(core: Core) -> None:
    ada = await join(core, "ada")
    grants = await asyncio.gather(*(refresh(core, ada.grant.refresh_token) for _ in range(40)))
    (successor,) = {grant.refresh_token for grant in grants}
    assert all([await works(core, grant) for grant in grants])
    following = await asyncio.gather(*(refresh(core, successor) for _ in range(5)))
    assert len({grant.refresh_token for grant in following}) == 1


@pytest.mark.parametrize(
    "token", ["", "tcr_", "tcr_" + "A" * 43, "\ud800", "\x00", "x" * 10**6, "eyJ.eyJ.sig"]
)
async def test_what_was_never_issued_refreshes_nothing(core: Core, token: str) -> None:
    ada = await join(core, "ada")
    with pytest.raises(InvalidToken):
        await refresh(core, token)
    assert await works(core, ada.grant)


async def test_the_two_kinds_of_tokens_are_not_taken_for_each_other(core: Core) -> None:
    ada = await join(core, "ada")
    with pytest.raises(InvalidToken):
        await refresh(core, ada.grant.access_token)
    with pytest.raises(InvalidToken):
        await core.sessions.authenticate(ada.grant.refresh_token)


async def test_a_session_lives_for_a_week_after_its_last_refresh(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    clock.advance(days=7, microseconds=-1)
    grant = await refresh(core, ada.grant.refresh_token)
    clock.advance(days=7)
    with pytest.raises(ExpiredToken):
        await refresh(core, grant.refresh_token)


async def test_a_session_ends_after_thirty_days_however_it_is_used(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    grant, start = ada.grant, clock.now()
    for _ in range(5):
        clock.advance(days=5, hours=23)
        grant = await refresh(core, grant.refresh_token)
    clock.moment = start + timedelta(days=30, microseconds=-1)
    grant = await refresh(core, grant.refresh_token)
    assert await works(core, grant)
    clock.advance(microseconds=1)
    assert not await works(core, grant)
    with pytest.raises(ExpiredToken):
        await refresh(core, grant.refresh_token)


async def test_a_used_token_is_a_replay_even_after_its_time(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    clock.advance(days=6)
    grant = await refresh(core, ada.grant.refresh_token)
    clock.advance(days=3)
    with pytest.raises(InvalidToken) as refusal:
        await refresh(core, ada.grant.refresh_token)
    assert type(refusal.value) is InvalidToken
    with pytest.raises(InvalidToken):
        await refresh(core, grant.refresh_token)


# Being recognised


async def test_an_access_token_expires(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    clock.advance(seconds=1799)
    assert await core.sessions.authenticate(ada.grant.access_token) == ada.actor
    clock.advance(seconds=6)
    with pytest.raises(ExpiredToken):
        await core.sessions.authenticate(ada.grant.access_token)


async def test_a_token_of_a_session_that_is_not_there_is_not_valid(
    core: Core, clock: ManualClock
) -> None:
    ada, bob = await join(core, "ada"), await join(core, "bob")
    assert ada.actor.session_id is not None
    for claims in (
        AccessClaims(ada.user.id, SessionId(uuid4())),
        AccessClaims(bob.user.id, ada.actor.session_id),
        AccessClaims(UserId(10**6), ada.actor.session_id),
    ):
        token = core.sessions.access_tokens.issue(claims, clock.now())
        with pytest.raises(InvalidToken):
            await core.sessions.authenticate(token)


async def test_deactivation_takes_effect_at_once(core: Core) -> None:
    ada = await join(core, "ada")
    await core.accounts.change(SYSTEM, ada.user.id, is_active=False)
    assert not await works(core, ada.grant)
    with pytest.raises(InvalidToken):
        await refresh(core, ada.grant.refresh_token)
    with pytest.raises(InvalidCredentials):
        await core.sessions.log_in(email=ada.user.email, password=PASSWORD)


async def test_a_change_of_role_takes_effect_at_once(core: Core) -> None:
    ada, bob = await join(core, "ada", Role.ADMIN), await join(core, "bob", Role.ADMIN)
    await core.accounts.change(bob.actor, ada.user.id, role=Role.USER)
    demoted = await core.sessions.authenticate(ada.grant.access_token)
    assert demoted.role is Role.USER
    with pytest.raises(Forbidden):
        await core.accounts.page(demoted)
    await core.accounts.change(bob.actor, ada.user.id, role=Role.ADMIN)
    again = await core.sessions.authenticate(ada.grant.access_token)
    assert (await core.accounts.page(again)).total == 2


async def test_a_removed_account_is_recognised_no_more(core: Core) -> None:
    ada = await join(core, "ada")
    await core.accounts.delete(SYSTEM, ada.user.id)
    assert not await works(core, ada.grant)
    with pytest.raises(InvalidToken):
        await refresh(core, ada.grant.refresh_token)


async def test_whatever_happens_at_once_to_a_session_ends_in_a_refusal_we_know(core: Core) -> None:
    for turn in range(8):
        ada = await join(core, f"ada{turn}")
        results = await asyncio.gather(
            *(refresh(core, ada.grant.refresh_token) for _ in range(4)),
            core.sessions.authenticate(ada.grant.access_token),
            core.accounts.change(SYSTEM, ada.user.id, is_active=False),
            core.sessions.log_in(email=ada.user.email, password=PASSWORD),
            core.accounts.delete(SYSTEM, ada.user.id),
            return_exceptions=True,
        )
        surprises: list[Any] = [
            result
            for result in results
            if not isinstance(result, (Grant, Actor, User, TaskcoreError, type(None)))
        ]
        assert surprises == []
        assert await core.accounts.find(SYSTEM, ada.user.email) is None
        assert not await works(core, ada.grant)


async def test_the_sessions_of_everybody_end_however_many_they_are(core: Core) -> None:
    ada, bob = await join(core, "ada"), await join(core, "bob")
    for number in range(60):
        await log_in(core, (ada if number % 2 else bob).user)
    assert await core.sessions.end_everybodys(SYSTEM) == 62
    assert not await works(core, ada.grant)
    assert not await works(core, bob.grant)
    events = await core.audit.page(SYSTEM, event=AuditEventName.SESSION_REVOKED)
    assert [event.detail["sessions"] for event in events.items] == [12, 25, 25]
    assert await core.sessions.end_everybodys(SYSTEM) == 0
