"""The third part: what it costs to follow an account, and what a long log costs."""

import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Self

from benchmarks.contestants import OURS, OURS_PORT, serving
from benchmarks.data import Database, People, Person
from benchmarks.load import RUN, Call, Plan, wrk
from benchmarks.plans import Plans
from benchmarks.rows import CHANGES, CHANGES_LIMIT, LOGS, Logged, Told
from taskcore import LogPosition, UserId, cursors

SAME, ANOTHER = "the same process", "another process"
_WORKLOADS = ("get", "list", CHANGES, "history", "edit", "create")
_TOLD = {SAME: 200, ANOTHER: 100}  # changes
_PAUSE = 0.5  # seconds at most between two of them: another process asks as often
_PREFIX = f"{OURS.prefix}/changes"
# The last events are of tasks that are there, in turn; those before are of tasks that are gone.
_FORGET = "DELETE FROM events WHERE owner_id = %(owner)s"  # what other parts have logged
_EVENTS = """
INSERT INTO events (owner_id, position, type, object_id, version, at, changes)
SELECT %(owner)s, n, 1, CASE WHEN n > %(count)s - 1000
    THEN (%(tasks)s::bigint[])[1 + n %% cardinality(%(tasks)s::bigint[])]
    ELSE 1000000000000 + n / 10 END,
    2 + (n - 1) %% 1000 / 100, now() - interval '1 day', '{"title": ["Write", "Write the letter"]}'
FROM generate_series(1, %(count)s) n
"""
_STREAM = """
UPDATE streams SET head = %(count)s, oldest_at = now() - interval '1 day',
    log_bytes = (SELECT sum(100 + octet_length(changes::text)) FROM events
    WHERE events.owner_id = streams.owner_id) WHERE owner_id = %(owner)s
"""


def long_logs(
    repetitions: int, database: Database, people: People, folder: Path
) -> Iterator[Logged]:
    """Accounts and workloads take turns, because a machine that others use changes its speed."""
    accounts = dict(zip(LOGS, people.owners, strict=False))
    plans = {
        count: _plans(count, person, database, people, folder) for count, person in accounts.items()
    }
    with serving(OURS, database, folder):
        for repetition in range(-1, repetitions):  # the first to warm up
            for workload in _WORKLOADS:
                for count, (own, more) in plans.items():
                    plan = more.get(workload) or own.plan(workload)
                    run = wrk(OURS_PORT, plan, connections=1, seconds=RUN)
                    if repetition >= 0:
                        yield Logged(count, workload, repetition, run.p50_ms, run.failed)


def _plans(
    count: int, person: Person, database: Database, people: People, folder: Path
) -> tuple[Plans, dict[str, Plan]]:
    tasks = database.task_ids("tasks", [person.id])[person.id]
    with database.connect() as db:
        values = {"owner": person.id, "count": count, "tasks": tasks}
        for statement in (_FORGET, _EVENTS, _STREAM):
            db.execute(statement.encode(), values)
        db.execute("VACUUM ANALYZE events")
        ((epoch,),) = db.execute("SELECT epoch FROM epochs").fetchall()
    cursor = cursors.changes(UserId(person.id)).at(LogPosition(epoch, count - CHANGES_LIMIT))
    changes = Call("GET", f"{_PREFIX}?cursor={cursor}&limit={CHANGES_LIMIT}", person.token)
    histories = [Call("GET", f"{OURS.prefix}/tasks/{each}/history", person.token) for each in tasks]
    name = f"{OURS.name}-{count}"
    own = Plans(
        replace(OURS, name=name),
        database,
        replace(people, owners=[person]),
        folder,
        limit=CHANGES_LIMIT,
    )
    return own, {
        CHANGES: Plan.of(folder / f"{name}-changes.plan", [changes]),
        "history": Plan.of(folder / f"{name}-history.plan", histories),
    }


def told(database: Database, people: People, folder: Path) -> Iterator[Told]:
    """A stream of one server, and changes by that server and by another one."""
    person, other = people.owners[-1], replace(OURS, name="another", port=OURS_PORT + 1)
    task = database.task_ids("tasks", [person.id])[person.id][0]
    with ExitStack() as stack:
        for server in (OURS, other):
            stack.enter_context(serving(server, database, folder))
        stream = stack.enter_context(_Stream(OURS_PORT, person))
        for process, port in ((SAME, OURS_PORT), (ANOTHER, other.port)):
            times = []
            for number in range(_TOLD[process]):
                time.sleep(random.random() * _PAUSE * (process is ANOTHER))
                title = f"{process} {number}"
                _edit(port, person, task, title)
                answered = time.monotonic()
                times.append(max(stream.told(title) - answered, 0) * 1000)
            yield Told(process, [round(each, 1) for each in times])


def _edit(port: int, person: Person, task: int, title: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    head = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    connection.request("PATCH", f"{OURS.prefix}/tasks/{task}", f'{{"title": "{title}"}}', head)
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != HTTPStatus.OK:
        raise SystemExit(f"an edit was answered by {response.status}")


class _Stream:
    """Reads a stream in a thread, and notes when it tells of each title."""

    def __init__(self, port: int, person: Person) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        head = {"Authorization": f"Bearer {person.token}"}
        self._connection.request("GET", f"{_PREFIX}/stream", headers=head)
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        self._response.readline()
        self._lines: list[tuple[float, bytes]] = []
        self._has_more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()

    def _read(self) -> None:
        while line := self._response.readline():
            with self._has_more:
                self._lines.append((time.monotonic(), line))
                self._has_more.notify()

    def told(self, title: str) -> float:
        """When it told of that."""
        with self._has_more:
            while True:
                for moment, line in self._lines:
                    if title.encode() in line:
                        self._lines.clear()
                        return moment
                if not self._has_more.wait(10):
                    raise SystemExit("a stream has not told of a change within ten seconds")
