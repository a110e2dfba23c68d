"""The servers that are compared: how each starts, and the requests for the same work of each."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import floor, seed_stack
from benchmarks.data import PASSWORD, SECRET_KEY, Database, People, Person
from benchmarks.load import Call, Plan
from taskapi.paths import PREFIX

OURS_PORT = 8103
# `make bench` sets an environment without the other contestants' libraries, some of which our
# framework would import if they were installed.
SERVED_BY = os.environ.get("SERVED_BY", sys.executable)
LIMIT = 20
_PLAN = 4000  # requests; more than a run sends, so that no edit is repeated
_TITLE = "Write the letter, number {}"
_STARTS_WITHIN = 30.0
_DOOMED = 4000  # more than any contestant deletes in a run
_SESSIONS = 300  # to refresh in turn, because each may refresh 60 times a minute
_WEEK = timedelta(days=7)
# In percent, as people use a list of tasks.
MIX = {"list": 70, "get": 15, "create": 10, "edit": 5}
WORKLOADS = ("get", "list", "create", "edit", "delete", "log in", "refresh", "mix")


@dataclass(frozen=True, eq=False)
class Contestant:
    name: str
    port: int
    table: str
    """Of its tasks."""
    prefix: str
    command: Sequence[str]
    environment: Callable[[Database], dict[str, str]]
    token: Callable[[Person], str]

    def path(self, person: Person) -> str:
        """Of the tasks of this person."""
        return f"{self.prefix}/tasks" + (f"?owner_id={person.id}" if self is FLOOR else "")

    def can(self, workload: str) -> bool:
        return self is not FLOOR or workload not in {"log in", "refresh"}


def _query(path: str, **query: object) -> str:
    joint = "&" if "?" in path else "?"
    return path + joint + "&".join(f"{name}={value}" for name, value in query.items())


FLOOR = Contestant(
    name="floor",
    port=floor.PORT,
    table="floor.tasks",
    prefix="",
    command=[sys.executable, "-m", "benchmarks.floor"],
    environment=lambda database: {"BENCH_DATABASE": database.conninfo},
    token=lambda _: "",
)
SEED = Contestant(
    name="seed stack",
    port=seed_stack.PORT,
    table="seed.tasks",
    prefix="/api/v1",
    command=[sys.executable, "-m", "benchmarks.seed_stack"],
    environment=lambda database: {
        "BENCH_DATABASE_URL": database.seed_url,
        "SECRET_KEY": SECRET_KEY,
    },
    token=lambda person: person.seed_token,
)
# As shipped, with limits and logs. Logins come from many addresses, as in production.
OURS = Contestant(
    name="ours",
    port=OURS_PORT,
    table="tasks",
    prefix=PREFIX,
    command=[SERVED_BY, "-m", "taskcli", "serve"],
    environment=lambda database: {
        "DATABASE_URL": database.url,
        "SECRET_KEY": SECRET_KEY,
        "TRUSTED_PROXIES": "127.0.0.1",
    },
    token=lambda person: person.token,
)
CONTESTANTS = (FLOOR, SEED, OURS)


@contextmanager
def serving(contestant: Contestant, database: Database, folder: Path) -> Iterator[int]:
    """The id of its process, which serves by now. Its output goes to a file, as in production."""
    log = folder / f"{contestant.name}.log"
    port = {"SERVER_PORT": str(contestant.port)}
    environment = os.environ | port | contestant.environment(database)
    with (
        log.open("ab") as output,
        subprocess.Popen(
            contestant.command, env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            _await(contestant.port, process, log)
            yield process.pid
        finally:
            process.terminate()


def _await(port: int, process: "subprocess.Popen[Any]", log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{log.stem} does not serve; see {log}")


_addresses = count(1)
_titles = count(10**9)  # all of the same length


def _new_address() -> str:
    """A client address that no request has used before."""
    number = next(_addresses)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


class Plans:
    """The plans of one contestant. Those that delete or refresh are made anew each time."""

    def __init__(
        self,
        contestant: Contestant,
        database: Database,
        people: People,
        folder: Path,
        *,
        limit: int = LIMIT,
    ) -> None:
        self._contestant, self._database, self._people = contestant, database, people
        self._folder, self._limit = folder, limit
        owner_ids = [person.id for person in people.owners]
        self._tasks = database.task_ids(contestant.table, owner_ids)
        self._made: dict[str, Plan] = {}

    def plan(self, workload: str) -> Plan:
        if workload == "delete":
            return self._delete()
        if workload == "refresh":
            return self._refresh()
        kinds = MIX if workload == "mix" else {workload: 1}
        # Make edits anew, too: repeating a title would change nothing, and cost less.
        if "edit" in kinds or workload not in self._made:
            names, shares = list(kinds), list(kinds.values())
            random.seed(workload)  # the same people and tasks for each contestant
            chosen = random.choices(names, shares, k=_PLAN)
            self._made[workload] = Plan.of(
                self._file(workload), (self._call(name, n) for n, name in enumerate(chosen))
            )
        return self._made[workload]

    def _file(self, workload: str) -> Path:
        return self._folder / f"{self._contestant.name}-{workload}.plan".replace(" ", "-")

    def _call(self, workload: str, number: int) -> Call:
        if workload == "log in":
            person = self._people.logging_in[number % len(self._people.logging_in)]
            body = f'{{"email":"{person.email}","password":"{PASSWORD}"}}'
            return Call("POST", self._auth("login"), client=_new_address(), body=body)
        person = random.choice(self._people.owners)
        at, token = self._contestant.path(person), self._contestant.token(person)
        title = _TITLE.format(next(_titles))
        match workload:
            case "list":
                return Call("GET", _query(at, limit=self._limit), token)
            case "create":
                body = f'{{"title":"{title}","description":"Two pages, by hand."}}'
                return Call("POST", at, token, body=body)
            case "get":
                return Call("GET", self._task(person), token)
            case "edit":
                return Call("PUT", self._task(person), token, body=f'{{"title":"{title}"}}')
        raise ValueError(workload)

    def _auth(self, action: str) -> str:
        return f"{self._contestant.prefix}/auth/{action}"

    def _task(self, person: Person) -> str:
        path = self._contestant.path(person).partition("?")[0]
        return f"{path}/{random.choice(self._tasks[person.id])}"

    def _delete(self) -> Plan:
        people = {person.id: person for person in self._people.owners}
        doomed = self._database.doomed(self._contestant.table, list(people), _DOOMED)
        path, token = self._contestant.path, self._contestant.token
        calls = (
            Call("DELETE", f"{path(people[owner]).partition('?')[0]}/{task}", token(people[owner]))
            for task, owner in doomed
        )
        return Plan.of(self._file("delete"), calls, "once")

    def _refresh(self) -> Plan:
        people = self._people.logging_in
        if self._contestant is SEED:
            tokens = [
                seed_stack.create_token(person.id, "refresh", _WEEK, SECRET_KEY)
                for person in (people[n % len(people)] for n in range(_SESSIONS))
            ]
        else:
            tokens = self._database.refresh_tokens(people, _SESSIONS)
        calls = (
            Call(
                "POST",
                self._auth("refresh"),
                client=_new_address(),
                body=f'{{"refresh_token":"{token}"}}',
            )
            for token in tokens
        )
        return Plan.of(self._file("refresh"), calls, "chained")
