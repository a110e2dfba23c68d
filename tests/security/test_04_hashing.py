"""Argon2id and the resources that it may use: rows A2 of docs/security.md."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import argon2
import bcrypt
import pytest
from argon2.low_level import Type
from litestar import Litestar

from taskcore import SYSTEM, AuditEventName, Core, InvalidCredentials, Settings, open_core
from taskcore.adapters import argon2 as adapter
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.adapters.memory.rate_limits import MemoryLimiter
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.ports import Store
from tests.api.conftest import app_over, opened
from tests.api.served import as_url
from tests.conftest import ManualClock, bound, cheap_argon2, emptied, until
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, at_once, fresh_ip
from tests.server.running import KEY, Api
from tests.usecases.people import address, put_hash
from tests.usecases.spies import WatchedHasher

CREDENTIALS = {"email": address("ada"), "password": WRONG}
# OWASP Password Storage Cheat Sheet and ASVS appendix C: passes, and KiB for them at least.
APPROVED = {1: 47104, 2: 19456, 3: 12288}


def test_every_new_hash_is_of_an_approved_strength(site: Site, root: Account) -> None:
    """A2-1: argon2id with parameters of OWASP however an account is made; a salt for each."""
    typed, made = (f"{uuid4().hex}@example.org" for _ in range(2))
    site.taskcli("users", "create", "--email", typed, "--password-stdin", stdin=PASSWORD)
    body = {"email": made, "password": PASSWORD}
    assert site.ask("POST", "/users", body, token=root.access).status == 201
    changed = site.join(password=PASSWORD + "!")
    body = {"current_password": PASSWORD + "!", "new_password": PASSWORD}
    assert site.ask("POST", "/auth/password", body, token=changed.access).status == 204
    hashes = [hash_of(site, email) for email in (site.join().email, typed, made, changed.email)]
    for found in hashes:
        assert found.startswith("$argon2id$v=19$m=")
        cost = argon2.extract_parameters(found)
        assert cost.type is Type.ID
        assert cost.parallelism == 1
        assert cost.memory_cost >= APPROVED[min(cost.time_cost, 3)]
        assert (cost.memory_cost, cost.time_cost) == (adapter.MEMORY_KIB, adapter.PASSES)
        assert (cost.salt_len, cost.hash_len) == (16, 32)
    assert len({found.split("$")[4] for found in hashes}) == 4


def hash_of(site: Site, email: str) -> str:
    ((found,),) = site.sql("SELECT hashed_password FROM users WHERE email_key = %s", email)
    return str(found)


@dataclass
class Work:
    """Notes in which threads argon2 and bcrypt run and how many at once; can hold them up."""

    threads: list[str] = field(default_factory=list)
    running: int = 0
    most: int = 0
    go: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def watching(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any) -> Any:
            with self.lock:
                self.threads.append(threading.current_thread().name)
                self.running += 1
                self.most = max(self.most, self.running)
            assert self.go.wait(20)
            try:
                return real(*args)
            finally:
                with self.lock:
                    self.running -= 1

        return watched


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    found = Work()
    found.go.set()
    for kind, name in (
        (argon2.PasswordHasher, "hash"),
        (argon2.PasswordHasher, "verify"),
        (bcrypt, "checkpw"),
    ):
        monkeypatch.setattr(kind, name, found.watching(getattr(kind, name)))
    yield found
    found.go.set()


@contextmanager
def held(work: Work) -> Iterator[None]:
    """Hold up every hash that begins inside the block."""
    work.go.clear()
    try:
        yield
    finally:
        work.go.set()


async def log_in(core: Core, password: str, name: str = "ada") -> None:
    await core.sessions.log_in(email=address(name), password=password)


@pytest.mark.anyio
async def test_no_hash_is_made_on_the_event_loop(store: Store, work: Work) -> None:
    """A2-2: registration, login, change, deletion and old hashes use threads of their own."""
    async with cheap_argon2() as hasher:
        core = bound(store, ManualClock(), hasher)
        work.threads.clear()  # the decoy, before there was a loop to hold up
        ada = await core.accounts.register(email=address("ada"), password=PASSWORD)
        old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        await put_hash(store, ada.id, old)
        for name, password in (("ada", WRONG), ("nobody", PASSWORD)):
            with pytest.raises(InvalidCredentials):
                await log_in(core, password, name)
        grant = await core.sessions.log_in(email=address("ada"), password=PASSWORD)
        actor = await core.sessions.authenticate(grant.access_token)
        await core.accounts.change_password(actor, current_password=PASSWORD, new_password=WRONG)
        await core.accounts.delete_own(actor, password=WRONG)
    assert len(work.threads) == 8
    assert {name.partition("_")[0] for name in work.threads} == {"hashing"}


@pytest.mark.anyio
async def test_cancelled_logins_free_no_thread_early(store: Store, work: Work) -> None:
    """A2-3: of sixty logins cancelled during verification never more than two run at once."""
    async with cheap_argon2(threads=2) as inner:
        hasher = WatchedHasher(inner)
        core = bound(store, ManualClock(), hasher)
        await core.accounts.register(email=address("ada"), password=PASSWORD)
        with held(work):
            for number in range(60):
                caller = asyncio.create_task(log_in(core, PASSWORD))
                await until(lambda count=number: len(hasher.verified) > count)  # type: ignore[misc]
                caller.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await caller
            await until(lambda: work.running == 2)
        await log_in(core, PASSWORD)
        assert work.most == 2


@pytest.mark.anyio
async def test_a_login_whose_client_has_hung_up_is_not_hashed(store: Store, work: Work) -> None:
    """A2-4: one that waits in the queue leaves it, and counts as no attempt."""
    async with cheap_argon2(threads=1) as hasher:
        core = bound(store, ManualClock(), hasher, limiter=MemoryLimiter(ManualClock()))
        app = app_over(core)
        work.threads.clear()
        async with app.lifespan():
            with held(work):
                running, hung_up, stays = (Client() for _ in range(3))
                served = []
                for number, client in enumerate((running, hung_up, stays)):
                    served.append(asyncio.create_task(client.log_in(app)))
                    await until(lambda n=number: hasher.threads.waiting == n)  # type: ignore[misc]
                    await until(lambda: work.running == 1)
                hung_up.gone.set()
                await served[1]
                assert hasher.threads.waiting == 1
                running.gone.set()  # its hash goes on
            await asyncio.gather(*served)
            assert (running.status, stays.status, len(work.threads)) == (401, 401, 2)
            rest = [Client() for _ in range(4)]
            for client in rest:
                await client.log_in(app)
            assert [client.status for client in rest] == [401, 401, 401, 429]


@dataclass
class Client:
    """Logs in with a wrong password, and hangs up when `gone` is set."""

    gone: asyncio.Event = field(default_factory=asyncio.Event)
    sent: bool = False
    status: int | None = None

    async def log_in(self, app: Litestar) -> None:
        path, body = f"{V1}/auth/login", json.dumps(CREDENTIALS).encode()
        headers = {"host": "api.test", "content-type": "application/json"}
        headers["content-length"] = str(len(body))
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "server": ("api.test", 80),
            "client": ("192.0.2.1", 123),
            "state": {},
        }

        async def receive() -> Any:
            if not self.sent:
                self.sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]

        await app(scope, receive, send)


@pytest.mark.anyio
@pytest.mark.parametrize("workers", [1, 2, 64])
async def test_the_processes_share_the_processors(site: Site, workers: int) -> None:
    """A2-3: the hashing threads of all processes together are as many as the cores."""
    env = {"DATABASE_URL": as_url(site.conninfo), "SECRET_KEY": KEY, "WORKERS": str(workers)}
    async with open_core(Settings.from_env(env)) as core:
        hasher = core.sessions.logins.hasher
        assert isinstance(hasher, Argon2Hasher)
        assert core.accounts.hasher is hasher
        assert hasher.threads.count == max(1, (os.cpu_count() or 1) // workers)


@pytest.mark.anyio
async def test_a_login_beyond_the_queue_gets_503(store: Store, work: Work) -> None:
    """A2-2, A2-4: two run, 64 wait, the next is a 503 without a hash; other requests go on."""
    async with cheap_argon2(threads=2) as inner:
        hasher = WatchedHasher(inner)
        core = bound(store, ManualClock(), hasher)
        await core.accounts.register(email=address("ada"), password=PASSWORD)
        grant = await core.sessions.log_in(email=address("ada"), password=PASSWORD)
        work.threads.clear()
        hasher.verified.clear()
        async with opened(app_over(core)) as http:
            http.headers["Authorization"] = f"Bearer {grant.access_token}"
            login, register = f"{V1}/auth/login", f"{V1}/auth/register"
            with held(work):
                crowd = [asyncio.create_task(http.post(login, json=CREDENTIALS)) for _ in range(66)]
                await until(lambda: len(hasher.verified) == 66)
                right = CREDENTIALS | {"password": PASSWORD}
                other = {"email": address("bob"), "password": PASSWORD}
                for path, body in ((login, CREDENTIALS), (login, right), (register, other)):
                    async with asyncio.timeout(5):  # else it waits for those that are held
                        refused = await http.post(path, json=body)
                    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
                    assert int(refused.headers["retry-after"]) >= 1
                for path in ("/livez", "/readyz", f"{V1}/auth/me", f"{V1}/tasks"):
                    assert (await http.get(path)).status_code == 200
                assert not any(task.done() for task in crowd)
            answers = await asyncio.gather(*crowd)
            assert {answer.status_code for answer in answers} == {401}
            assert (len(work.threads), work.most) == (66, 2)
            assert (await http.post(login, json=right)).status_code == 200
        # A 503 does not count as a failed login.
        failed = await core.audit.page(SYSTEM, event=AuditEventName.LOGIN_FAILED)
        assert failed.total == 66


def worker(api: Api) -> Path:
    (pid,) = api.workers
    return Path(f"/proc/{pid}")


def mebibytes(process: Path, name: str) -> float:
    (line,) = (x for x in (process / "status").read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) / 1024


@contextmanager
def at_most(process: Path, growth: float) -> Iterator[None]:
    """The peak memory of the process during the work, in MiB."""
    (process / "clear_refs").write_text("5")  # forget the peak so far
    before = mebibytes(process, "VmRSS")
    yield
    assert mebibytes(process, "VmHWM") - before < growth


def test_a_crowd_takes_no_more_memory_than_the_threads_do(site: Site) -> None:
    """A2-3, A2-4: a hundred logins at once, some hang up: responses, 503s, bounded memory."""
    people = [site.join() for _ in range(8)]
    sent = (
        f"POST {V1}/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "X-Forwarded-For: {}\r\nContent-Length: {}\r\n\r\n{}"
    )

    def log_in(number: int) -> int:
        email = people[number % 8].email
        if number % 4:
            return site.log_in(email).status
        body = json.dumps({"email": email, "password": PASSWORD})
        with socket.create_connection(("127.0.0.1", site.apis[0].port)) as client:
            client.sendall(sent.format(fresh_ip(), len(body), body).encode())
        return 0

    growth = (os.cpu_count() or 1) * adapter.MEMORY_KIB / 1024 + 50
    with at_most(worker(site.apis[0]), growth):
        statuses = set(at_once(log_in, 100))
    assert {0, 200} <= statuses <= {0, 200, 429, 503}
    assert site.log_in(site.join().email).status == 200


@pytest.mark.anyio
async def test_no_connection_is_held_while_hashes_are_made(database_url: str, work: Work) -> None:
    """A2-5: one connection serves others while twenty logins wait for a hash, then those twenty."""
    emptied(database_url)
    async with Connections(database_url, size=1) as connections, cheap_argon2() as inner:
        hasher = WatchedHasher(inner)
        core = bound(PostgresStore(connections), ManualClock(), hasher)
        await core.accounts.register(email=address("ada"), password=PASSWORD)
        grant = await core.sessions.log_in(email=address("ada"), password=PASSWORD)
        actor = await core.sessions.authenticate(grant.access_token)
        begun = len(hasher.verified)
        with held(work):
            logins = [asyncio.create_task(log_in(core, PASSWORD)) for _ in range(20)]
            joining = asyncio.create_task(
                core.accounts.register(email=address("bob"), password=PASSWORD)
            )
            leaving = asyncio.create_task(core.accounts.delete_own(actor, password=WRONG))
            await until(lambda: len(hasher.verified) == begun + 21 and hasher.hashed == 2)
            assert (await core.accounts.page(SYSTEM)).total == 1
        assert await asyncio.gather(*logins) == [None] * 20
        assert (await joining).email == address("bob")
        with pytest.raises(InvalidCredentials):
            await leaving


SALT_AND_HASH = "$" + "c2FsdHNhbHQ" * 2 + "$" + "aGFzaGhhc2g" * 4


def test_no_stored_hash_may_ask_for_the_whole_machine(site: Site, ada: Account) -> None:
    """A2-6: a stored hash dearer than ours is recorded as a failed login and not computed."""
    right = argon2.PasswordHasher(1, 262144, 1).hash(PASSWORD)  # 256 MiB
    costs = ("m=4294967295,t=1,p=1", "m=1048576,t=1,p=1", "m=8,t=4294967295,p=1")
    dear = [f"$argon2id$v=19${cost}{SALT_AND_HASH}" for cost in costs]
    dear.append("$2b$31$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")
    with at_most(worker(site.apis[0]), 100):
        for asked in (right, *dear):
            site.sql("UPDATE users SET hashed_password = %s WHERE id = %s", asked, ada.id)
            answer = site.log_in(ada.email)
            assert (answer.status, answer.json["code"]) == (401, "invalid_credentials")
            assert site.events(ada.id)[-1] == "login.failed"
            assert hash_of(site, ada.email) == asked
    allowed = argon2.PasswordHasher(1, 131072, 1).hash(PASSWORD)
    site.sql("UPDATE users SET hashed_password = %s WHERE id = %s", allowed, ada.id)
    assert site.log_in(ada.email, process=1).status == 200
    assert f"m={adapter.MEMORY_KIB}," in hash_of(site, ada.email)


BROKEN = (
    *("x", "!", "$", "$1$md5$md5", "$argon2id$", "$2b$", "$2b$12$short", "\U0001f600" * 60),
    "$2b$04$" + "a" * 53,
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
    "$argon2id$v=19$m=0,t=0,p=0" + SALT_AND_HASH,
    "$argon2i$v=19$m=8,t=1,p=1" + SALT_AND_HASH,
)


def test_a_broken_hash_is_a_wrong_password(site: Site, ada: Account) -> None:
    """A2-7: any text in the column makes a login a 401, and every other check of the password."""
    for number, broken in enumerate(BROKEN):
        site.sql("UPDATE users SET hashed_password = %s WHERE id = %s", broken, ada.id)
        answer = site.log_in(ada.email, process=number % 2)
        assert (answer.status, answer.json["code"]) == (401, "invalid_credentials"), broken
    for path, body in (
        ("/auth/delete-account", {"password": PASSWORD}),
        ("/auth/password", {"current_password": PASSWORD, "new_password": PASSWORD + "!"}),
    ):
        assert site.ask("POST", path, body, token=ada.access).status == 401
