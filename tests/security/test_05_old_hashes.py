"""Hashes of older programs, and how they are replaced: rows RH of docs/security.md."""

import asyncio
import json
import threading
from pathlib import Path

import argon2
import bcrypt
import pytest

from taskcore import Core, InvalidCredentials
from taskcore.adapters import argon2 as adapter
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.ports import Store
from tests.conftest import ManualClock, bound, cheap_argon2, until
from tests.factories import PASSWORD as THEIRS
from tests.security.site import PASSWORD, WRONG, Account, Site, at_once
from tests.usecases.people import Person, address, hash_of, join, put_hash
from tests.usecases.spies import WatchedHasher, nothing

NEW = PASSWORD + ", too"
OF_TODAY = f"$argon2id$v=19$m={adapter.MEMORY_KIB},t={adapter.PASSES},p={adapter.LANES}$"


def of_bcrypt(password: str | bytes, *, cost: int = 4, revision: str = "$2b$") -> str:
    """As older programs made them, which used 72 bytes at most."""
    raw = password.encode() if isinstance(password, str) else password
    return revision + bcrypt.hashpw(raw[:72], bcrypt.gensalt(cost)).decode()[4:]


def put(site: Site, who: Account, password_hash: str) -> str:
    update = "UPDATE users SET hashed_password = %s WHERE id = %s"
    site.sql(update, password_hash, who.id)
    return password_hash


def kept(site: Site, who: Account) -> str:
    ((found,),) = site.sql("SELECT hashed_password FROM users WHERE id = %s", who.id)
    return str(found)


OLD = {
    "bcrypt of the seed": lambda: of_bcrypt(PASSWORD, cost=12),
    "fewer passes": lambda: argon2.PasswordHasher(1, adapter.MEMORY_KIB, 1).hash(PASSWORD),
    "less memory": lambda: argon2.PasswordHasher(adapter.PASSES, 8192, 1).hash(PASSWORD),
    "more of all": lambda: argon2.PasswordHasher(3, 65536, 4).hash(PASSWORD),
}


@pytest.mark.parametrize("what", OLD)
def test_a_login_brings_a_hash_up_to_date(site: Site, what: str) -> None:
    """RH-1: a right password replaces a hash of another kind or cost; a wrong one does not."""
    ada, gone = site.join(), site.join()
    old = put(site, ada, OLD[what]())
    assert site.log_in(ada.email, WRONG).status == 401
    put(site, gone, old)
    site.sql("UPDATE users SET is_active = false WHERE id = %s", gone.id)
    assert site.log_in(gone.email).status == 401
    assert kept(site, ada) == kept(site, gone) == old
    assert site.log_in(ada.email).status == 200
    new = kept(site, ada)
    assert new.startswith(OF_TODAY)
    assert site.log_in(ada.email, WRONG, process=1).status == 401
    assert site.log_in(ada.email, process=1).status == 200
    assert kept(site, ada) == new
    assert site.me(ada.access) == 200  # every session goes on


def test_many_who_log_in_at_once_all_get_in(site: Site) -> None:
    """RH-2: a login succeeds when another has replaced the hash meanwhile."""
    ada = site.join()
    put(site, ada, of_bcrypt(PASSWORD))
    answers = at_once(lambda n: site.log_in(ada.email, process=n % 2), 8)
    assert [answer.status for answer in answers] == [200] * 8
    assert kept(site, ada).startswith(OF_TODAY)
    assert site.log_in(ada.email).status == 200


def test_a_login_meanwhile_does_not_undo_a_change_of_password(site: Site) -> None:
    """RH-2: over two processes a rehash of the old password neither undoes nor fails the change."""
    for _ in range(5):
        ada = site.join()
        put(site, ada, of_bcrypt(PASSWORD))
        body = {"current_password": PASSWORD, "new_password": NEW}

        def compete(number: int, ada: Account = ada, body: object = body) -> int:
            if number == 1:
                return site.ask("POST", "/auth/password", body, token=ada.access).status
            return site.log_in(ada.email, process=number % 2).status

        assert at_once(compete, 5)[1] == 204
        assert site.log_in(ada.email, NEW).status == 200
        assert site.log_in(ada.email, PASSWORD).status == 401
        assert kept(site, ada).startswith(OF_TODAY)


@pytest.fixture
def inner() -> Argon2Hasher:
    return cheap_argon2(threads=1, queue=1)


@pytest.fixture
def hasher(inner: Argon2Hasher) -> WatchedHasher:
    return WatchedHasher(inner)


@pytest.fixture
def watched(store: Store, clock: ManualClock, hasher: WatchedHasher) -> Core:
    return bound(store, clock, hasher)


async def with_bcrypt(core: Core, store: Store) -> tuple[Person, str]:
    ada, old = await join(core, "ada"), of_bcrypt(THEIRS)
    await put_hash(store, ada.user.id, old)
    return ada, old


async def log_in(core: Core, password: str) -> None:
    await core.sessions.log_in(email=address("ada"), password=password)


@pytest.mark.anyio
async def test_a_password_that_is_changed_while_it_is_hashed_anew_wins(
    watched: Core, store: Store, hasher: WatchedHasher
) -> None:
    """RH-2: a change between verification and rehash wins: the old password is refused."""
    ada, _ = await with_bcrypt(watched, store)

    async def change() -> None:
        hasher.while_hashing = nothing
        await watched.accounts.change_password(ada.actor, current_password=THEIRS, new_password=NEW)

    hasher.while_hashing = change
    with pytest.raises(InvalidCredentials):
        await log_in(watched, THEIRS)
    await log_in(watched, NEW)
    # The session that made the change, and the one after it; none of the login in between.
    assert len(await watched.sessions.own(ada.actor)) == 2


@pytest.mark.anyio
async def test_a_full_hasher_does_not_fail_a_login_already_verified(
    watched: Core, store: Store, hasher: WatchedHasher, inner: Argon2Hasher
) -> None:
    """RH-2: if the queue is full for the rehash, the login succeeds and the old hash stays."""
    ada, old = await with_bcrypt(watched, store)
    go = threading.Event()
    crowd: list[asyncio.Task[bool]] = []

    async def fill() -> None:
        hasher.while_hashing = nothing
        crowd.extend(asyncio.create_task(inner.threads.run(go.wait)) for _ in range(2))
        await until(lambda: inner.threads.running + inner.threads.waiting == 2)

    hasher.while_hashing = fill
    try:
        await log_in(watched, THEIRS)
    finally:
        go.set()
    assert await hash_of(store, ada.user.id) == old
    await asyncio.gather(*crowd)
    await log_in(watched, THEIRS)
    assert (await hash_of(store, ada.user.id)).startswith("$argon2id$")


@pytest.mark.parametrize("revision", ["$2a$", "$2b$", "$2y$"])
def test_every_revision_of_bcrypt_is_understood(site: Site, ada: Account, revision: str) -> None:
    """RH-3: by login, and where a password is asked for again."""
    put(site, ada, of_bcrypt(PASSWORD, revision=revision))
    body = {"current_password": WRONG, "new_password": NEW}
    assert site.ask("POST", "/auth/password", body, token=ada.access).status == 401
    body["current_password"] = PASSWORD
    assert site.ask("POST", "/auth/password", body, token=ada.access).status == 204
    assert kept(site, ada).startswith(OF_TODAY)
    put(site, ada, of_bcrypt(PASSWORD, revision=revision))
    assert site.log_in(ada.email, WRONG).status == 401
    assert site.log_in(ada.email).status == 200


LONG = {
    "letters": PASSWORD + " " + PASSWORD + " " + PASSWORD,
    "a character across the end": "\u00e9" * 35 + "a\u20ac" + PASSWORD,
    "signs of four bytes": "\U0001f600" * 256,
}


@pytest.mark.parametrize("what", LONG)
def test_bcrypt_knew_72_bytes_and_from_now_on_all_count(site: Site, what: str) -> None:
    """RH-3: longer passwords are no error; the first that matches is hashed whole."""
    right = LONG[what]
    assert len(right.encode()) > 80
    ada, bob = site.join(), site.join()
    for who in (ada, bob):
        put(site, who, of_bcrypt(right))
    assert site.log_in(ada.email, "x" + right[1:]).status == 401
    assert site.log_in(ada.email, right).status == 200
    assert site.log_in(ada.email, right[:-1] + "x", process=1).status == 401
    assert site.log_in(ada.email, right, process=1).status == 200
    # Once more bcrypt cannot tell what comes after 72 bytes; the hash of today can.
    assert site.log_in(bob.email, right[:-1] + "x").status == 200
    assert site.log_in(bob.email, right).status == 401
    assert site.log_in(bob.email, right[:-1] + "x").status == 200


def test_old_hashes_of_passwords_that_were_not_normalised_verify(site: Site) -> None:
    """RH-4: bcrypt of the bytes as typed or of their NFC; after that either form is accepted."""
    composed, decomposed = f"{PASSWORD} caf\u00e9", f"{PASSWORD} cafe\u0301"
    for hashed, typed, other in (
        (decomposed, decomposed, composed),
        (composed, decomposed, composed),
        (composed, composed, decomposed),
    ):
        ada = site.join()
        old = put(site, ada, of_bcrypt(hashed))
        assert site.log_in(ada.email, f"{PASSWORD} cafe").status == 401
        assert kept(site, ada) == old
        assert site.log_in(ada.email, typed).status == 200
        assert kept(site, ada).startswith(OF_TODAY)
        assert site.log_in(ada.email, other).status == 200
    # Two spellings were two passwords then; the old hash does not tell which one it is of.
    eve = site.join()
    put(site, eve, of_bcrypt(decomposed))
    assert site.log_in(eve.email, composed).status == 401


def test_bcrypt_makes_no_hash_any_more_and_those_left_are_counted(site: Site) -> None:
    """RH-5: `taskcli doctor` tells how many are left, one less after each login."""
    source = Path(adapter.__file__).parents[2]
    code = {path: path.read_text() for path in source.rglob("*.py")}
    assert len(code) > 40
    making = ("hashpw", "gensalt", "kdf", "passlib")
    assert not [path for path, text in code.items() if any(word in text for word in making)]

    ada, bob = site.join(), site.join()
    for who in (ada, bob):
        put(site, who, of_bcrypt(PASSWORD))
    before = left(site)
    assert site.log_in(ada.email, WRONG).status == 401
    assert site.log_in(bob.email).status == 200
    after = left(site)
    assert int(after.split()[0]) == int(before.split()[0]) - 1
    assert "bcrypt" in after


def left(site: Site) -> str:
    checks = json.loads(site.taskcli("doctor", "--json"))["checks"]
    (detail,) = (check["detail"] for check in checks if check["name"] == "passwords")
    return str(detail)
