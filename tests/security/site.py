"""Several server processes on one database, behind a proxy whose part the tests play."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psycopg

from tests.api.served import as_url
from tests.canaries import dump, leaks
from tests.cli.in_process import run
from tests.cli.programs import Result
from tests.conftest import migrated_database
from tests.server.running import KEY, Answer, Api

V1 = "/api/v1"
PASSWORD = "canary: correct horse battery"
WRONG = "canary: wrong horse battery"
NOWHERE = "postgresql://nowhere/none"  # where a start ends that is not refused
Found = TypeVar("Found")

_ADDRESSES = count(1)


def fresh_ip() -> str:
    """An address that no test has used yet, so that no limit is used up."""
    number = next(_ADDRESSES)
    return f"198.18.{number // 256}.{number % 256}"


@dataclass(frozen=True)
class Account:
    """A registered user with the tokens of a login, and their address."""

    email: str
    id: int
    access: str
    refresh: str
    ip: str


def on_missing_things(path: str) -> str:
    """The path of an operation, within the API. The stream gets a cursor that ends it at once."""
    there = re.sub(r"\{\w+\}", str(2**62), path).removeprefix(V1)
    return f"{there}?cursor=x" if there.endswith("/stream") else there


@dataclass(frozen=True)
class Site:
    apis: tuple[Api, ...]
    conninfo: str

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        ip: str | None = None,
        process: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask one of the processes, from any address. `path` is within the API."""
        sent = {"X-Forwarded-For": ip or fresh_ip(), **(headers or {})}
        return self.apis[process].call(method, V1 + path, body, token=token, headers=sent)

    def log_in(self, email: str, password: str = PASSWORD, **more: Any) -> Answer:
        credentials = {"email": email, "password": password}
        return self.ask("POST", "/auth/login", credentials, **more)

    def refresh(self, token: str, **more: Any) -> Answer:
        return self.ask("POST", "/auth/refresh", {"refresh_token": token}, **more)

    def me(self, token: str, **more: Any) -> int:
        """The status of a request with the token: whether the token is good."""
        return self.ask("GET", "/auth/me", token=token, **more).status

    def join(self, *, role: str = "user", password: str = PASSWORD) -> Account:
        """A new account; an administrator is made at the terminal."""
        email, ip = f"{uuid4().hex}@example.org", fresh_ip()
        if role == "user":
            body = {"email": email, "password": password}
            made = self.ask("POST", "/auth/register", body, ip=ip)
            assert made.status == 201, made
        else:
            self.create(email, role, password)
        answer = self.log_in(email, password, ip=ip)
        assert answer.status == 200, answer
        tokens = answer.json
        return Account(
            email, tokens["user"]["id"], tokens["access_token"], tokens["refresh_token"], ip
        )

    def create(self, email: str, role: str, password: str = PASSWORD) -> None:
        command = ("users", "create", "--email", email, "--role", role, "--password-stdin")
        self.taskcli(*command, stdin=password + "\n")

    def taskcli(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints, beside the servers; it must succeed."""
        done = self.terminal(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done.out

    def terminal(self, *arguments: str, stdin: str = "") -> Result:
        api = self.apis[0]
        done = run(*arguments, env=api.env, cwd=api.folder, stdin=stdin)
        assert leaks(done.out + done.err) == []
        return done

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a query on a connection of its own: what it sees is committed."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def events(self, user_id: int) -> list[str]:
        """What the audit says of a user, oldest first."""
        rows = self.sql(
            "SELECT event FROM audit_events WHERE user_id = %s OR actor_id = %s ORDER BY id",
            *(user_id, user_id),
        )
        return [row[0] for row in rows]

    def dump(self) -> str:
        """Every row of every table."""
        return dump(self.conninfo)


def refused(folder: Path, *arguments: str, **env: str) -> str:
    """The error output of a command that refuses its settings."""
    done = run(*arguments, env=env, cwd=folder)
    assert (done.code, done.out) == (78, "")
    return done.err


def at_once(work: Callable[[int], Found], times: int) -> list[Found]:
    """Do the work in so many threads at once."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(work, range(times)))


@contextmanager
def site(folder: Path, database_url: str, *, processes: int = 2, **env: str) -> Iterator[Site]:
    """A site with all limits on, on a database of its own."""
    ours = {"RATE_LIMITS": "on", "TRUSTED_PROXIES": "127.0.0.1", "LOG_LEVEL": "DEBUG"}
    with migrated_database(database_url) as conninfo, ExitStack() as stack:
        started: Sequence[Api] = [
            stack.enter_context(
                Api(
                    folder / str(number),
                    DATABASE_URL=as_url(conninfo),
                    **({"SECRET_KEY": KEY} | ours | env),
                )
            )
            for number in range(processes)
        ]
        yield Site(tuple(api.ready() for api in started), conninfo)
