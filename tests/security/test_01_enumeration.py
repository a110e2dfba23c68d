"""No response tells which addresses have an account: rows ENUM of docs/security.md."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import argon2
import pytest

from taskcore import SYSTEM, Core, InvalidCredentials, Settings, open_core
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.core import Terms
from taskcore.ports import Store
from tests.api.conftest import app_over, opened
from tests.api.served import as_url
from tests.conftest import ManualClock, bound
from tests.security.site import PASSWORD, WRONG, Site, at_once, fresh_ip
from tests.server.running import KEY, Answer
from tests.usecases.people import address, put_hash
from tests.usecases.spies import WatchedHasher

UNREADABLE = "!"  # how many systems mark an account that has no password


def failures(site: Site) -> dict[str, tuple[str, str]]:
    """Address and password of each way in which a login fails."""
    known, gone, none = site.join(), site.join(), site.join()
    site.sql("UPDATE users SET is_active = false WHERE id = %s", gone.id)
    site.sql("UPDATE users SET hashed_password = %s WHERE id = %s", UNREADABLE, none.id)
    return {
        "a wrong password": (known.email, WRONG),
        "an unknown address": (f"no-{known.email}", PASSWORD),
        "deactivated, and the right password": (gone.email, PASSWORD),
        "deactivated, and a wrong password": (gone.email, WRONG),
        "an account without a password": (none.email, PASSWORD),
        "no address at all": ("ada", PASSWORD),
        "an address that nobody may have": (f"\u0430{known.email}", PASSWORD),
        "a password that nobody may have": (known.email, "x"),
        "a password as long as a book": (known.email, PASSWORD + "x" * 50_000),
    }


def anonymous(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """A response without its request id and date."""
    request_id = answer.headers["x-request-id"]
    headers = {n: v for n, v in answer.headers.items() if n not in {"x-request-id", "date"}}
    return answer.status, headers, answer.body.replace(request_id.encode(), b"*")


def test_a_failed_login_has_one_answer(site: Site) -> None:
    """ENUM-1: status, headers and body are the same bytes for every cause."""
    answers = {
        what: anonymous(site.log_in(email, password, process=number % 2))
        for number, (what, (email, password)) in enumerate(failures(site).items())
    }
    status, headers, body = expected = answers["a wrong password"]
    assert status == 401
    assert headers["www-authenticate"] == 'Bearer realm="taskcore"'
    assert b'"code":"invalid_credentials"' in body
    for what, answer in answers.items():
        assert answer == expected, what


@dataclass
class Verifications:
    """The hashes that argon2 was really asked to verify."""

    hashes: list[str] = field(default_factory=list)

    def costs(self) -> list[argon2.Parameters]:
        return [argon2.extract_parameters(found) for found in self.hashes]


@contextmanager
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Verifications]:
    found, verify = Verifications(), argon2.PasswordHasher.verify

    def watched(self: Any, password_hash: Any, password: Any) -> Any:
        found.hashes.append(password_hash)
        return verify(self, password_hash, password)

    with monkeypatch.context() as patch:
        patch.setattr(argon2.PasswordHasher, "verify", watched)
        yield found


async def made(core: Core, store: Store, name: str, *, password_hash: str = "") -> None:
    user = await core.accounts.register(email=address(name), password=PASSWORD)
    if password_hash:
        await put_hash(store, user.id, password_hash)


async def three(core: Core, store: Store) -> None:
    await made(core, store, "ada")
    await made(core, store, "none", password_hash=UNREADABLE)
    await made(core, store, "gone")
    gone = await core.accounts.find(SYSTEM, address("gone"))
    assert gone
    await core.accounts.change(SYSTEM, gone.id, is_active=False)


# Of the accounts of `three`.
ATTEMPTS = {
    "a wrong password": (address("ada"), WRONG),
    "an unknown address": (address("nobody"), PASSWORD),
    "deactivated": (address("gone"), PASSWORD),
    "without a password": (address("none"), PASSWORD),
    "no address": ("ada", PASSWORD),
    "a password too short": (address("ada"), "x"),
    "a password too long": (address("ada"), PASSWORD + "x" * 300),
}


@pytest.mark.anyio
@pytest.mark.parametrize(("memory_kib", "passes"), [(8, 1), (16, 1), (8, 2)])
async def test_a_failed_login_costs_one_hash_at_the_cost_of_today(
    store: Store, monkeypatch: pytest.MonkeyPatch, memory_kib: int, passes: int
) -> None:
    """ENUM-2: over HTTP argon2 runs once for each failure, with the parameters of new hashes."""
    hasher = Argon2Hasher(memory_kib=memory_kib, passes=passes, threads=1)
    core = bound(store, ManualClock(), hasher)
    await three(core, store)
    async with hasher, opened(app_over(core)) as http:
        for what, (email, password) in ATTEMPTS.items():
            with noted(monkeypatch) as verified:
                body = {"email": email, "password": password}
                answer = await http.post("/api/v1/auth/login", json=body)
            assert answer.status_code == 401, what
            (cost,) = verified.costs()
            assert (cost.memory_cost, cost.time_cost) == (memory_kib, passes), what


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["password", "delete-account"])
async def test_a_password_that_is_asked_for_again_costs_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """ENUM-2: every other comparison of a password costs as much as a login."""
    hasher = Argon2Hasher(memory_kib=16, passes=1, threads=1)
    core = bound(store, ManualClock(), hasher)
    await made(core, store, "ada")
    grant = await core.sessions.log_in(email=address("ada"), password=PASSWORD)
    async with hasher, opened(app_over(core)) as http:
        http.headers["Authorization"] = f"Bearer {grant.access_token}"
        for wrong in (WRONG, "x", PASSWORD + "x" * 300, f"{PASSWORD}\x00"):
            body = {"password": wrong}
            if path == "password":
                body = {"current_password": wrong, "new_password": PASSWORD + "!"}
            with noted(monkeypatch) as verified:
                answer = await http.post(f"/api/v1/auth/{path}", json=body)
            assert answer.json()["code"] == "invalid_credentials"
            assert [cost.memory_cost for cost in verified.costs()] == [16], wrong[:30]


@dataclass
class FreeWhileWaiting(ManualClock):
    """Checks, whenever a login waits, that the hasher and the store have room for others."""

    hasher: Argon2Hasher | None = None
    store: Store | None = None
    waits: int = 0

    async def wait_until(self, moment: datetime) -> None:
        assert self.hasher
        assert self.store
        self.waits += 1
        async with asyncio.timeout(5), self.store.transaction():
            await self.hasher.verify(WRONG, None)  # else Unavailable: it has one place
        await super().wait_until(moment)


@pytest.mark.anyio
@pytest.mark.parametrize("spent", [0, 396, 500, 700])  # a hash of bcrypt takes 396 ms
async def test_failed_logins_take_as_long_as_the_longest(store: Store, spent: int) -> None:
    """ENUM-4: the floor counts from the beginning of each failure and delays no other request."""
    inner = Argon2Hasher(memory_kib=8, passes=1, threads=1, queue=0)
    hasher = WatchedHasher(inner)
    clock = FreeWhileWaiting(hasher=inner, store=store)
    floor = timedelta(milliseconds=500)
    core = bound(store, clock, hasher, terms=Terms(failure_floor=floor))
    await three(core, store)

    async def verify_slowly() -> None:
        clock.advance(milliseconds=spent)

    hasher.while_verifying = verify_slowly
    for what, (email, password) in ATTEMPTS.items():
        begun = clock.now()
        with pytest.raises(InvalidCredentials):
            await core.sessions.log_in(email=email, password=password)
        assert clock.now() - begun == max(floor, timedelta(milliseconds=spent)), what
    assert clock.waits == len(ATTEMPTS)
    begun = clock.now()
    await core.sessions.log_in(email=address("ada"), password=PASSWORD)
    assert clock.now() - begun == timedelta(milliseconds=spent)
    inner.close()


@pytest.mark.anyio
async def test_the_floor_is_a_setting_and_off_unless_it_is_set(site: Site) -> None:
    """ENUM-4: LOGIN_FAILURE_FLOOR_MS delays failed logins."""
    env = {"DATABASE_URL": as_url(site.conninfo), "SECRET_KEY": KEY}
    for more, expected in ({}, 0), ({"LOGIN_FAILURE_FLOOR_MS": "500"}, 500):
        async with open_core(Settings.from_env(env | more)) as core:
            assert core.sessions.logins.failure_floor == timedelta(milliseconds=expected)


def test_registering_reveals_an_account_as_documented_and_is_limited(site: Site) -> None:
    """ENUM-5: as addresses are not verified, a taken one is a 409; twenty guesses a minute."""
    taken, ip = site.join(), fresh_ip()

    def register(number: int) -> Answer:
        email = f"{'' if number % 2 else f'no{number}-'}{taken.email}"
        body = {"email": email, "password": PASSWORD}
        return site.ask("POST", "/auth/register", body, ip=ip, process=number // 2 % 2)

    answers = at_once(register, 50)
    of_new, of_taken = answers[::2], answers[1::2]
    assert {answer.status for answer in of_new} == {201, 429}
    assert {answer.status for answer in of_taken} == {409, 429}
    for answer in answers:
        if answer.status == 201:
            assert set(answer.json) == {
                *("id", "email", "full_name", "role", "is_active", "time_zone"),
                *("created_at", "updated_at"),
            }
        else:
            assert (
                answer.json["code"] == {409: "email_taken", 429: "too_many_requests"}[answer.status]
            )
    # 20 at once; this much more only where a minute would pass meanwhile.
    assert 20 <= sum(answer.status != 429 for answer in answers) < 40


def test_limits_count_for_unknown_addresses(site: Site) -> None:
    """ENUM-7: the same refusals after as many attempts, whether or not there is an account."""
    ada, gone = site.join(), site.join()
    site.sql("UPDATE users SET is_active = false WHERE id = %s", gone.id)
    unknown = f"no-{ada.email}"

    def codes(email: str, times: int, ip: str | None) -> list[tuple[int, str, list[str]]]:
        answers = [site.log_in(email, WRONG, ip=ip, process=n % 2) for n in range(times)]
        return [(a.status, a.json["code"], sorted(a.headers)) for a in answers]

    emails = (ada.email, gone.email, unknown)
    places = [fresh_ip() for _ in emails]
    of_one_place = at_once(lambda n: codes(emails[n], 7, places[n]), 3)
    of_many = at_once(lambda n: codes(emails[n], 17, None), 3)  # each from a place of its own
    assert [status for status, _, _ in of_one_place[0]] == [401] * 5 + [429] * 2
    # Of 20 for the account, 5 were used up from the one place.
    assert [status for status, _, _ in of_many[0]] == [401] * 15 + [429] * 2
    assert of_one_place == of_one_place[:1] * 3
    assert of_many == of_many[:1] * 3
    # The address is counted under a name that only we can make of it.
    assert unknown not in site.dump()
