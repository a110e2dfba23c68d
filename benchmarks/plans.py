"""The requests for the same work of each contestant."""

import json
import random
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from pathlib import Path

from benchmarks import seed_stack
from benchmarks.contestants import OURS, SEED, Contestant
from benchmarks.data import LABEL, NAMES, PASSWORD, SECRET_KEY, Database, People, Person
from benchmarks.load import Call, Plan
from taskcore import LogPosition, UserId, cursors

LIMIT = 20
BULK = 20
"""Tasks that a bulk creates."""
_CHANGES = 20
_PLAN = 4000  # requests; more than a run sends, so that no edit is repeated
_TITLE = "Write the letter, number {}"
_DOOMED = 4000  # more than any contestant deletes in a run
_SESSIONS = 300  # to refresh in turn, because each may refresh 60 times a minute
_WEEK = timedelta(days=7)
# In percent, as people use a list of tasks.
MIX = {"list": 70, "get": 15, "create": 10, "edit": 5}
_addresses = count(1)
_titles = count(10**9)  # all of the same length


def _query(path: str, **query: object) -> str:
    joint = "&" if "?" in path else "?"
    return path + joint + "&".join(f"{name}={value}" for name, value in query.items())


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
            calls: Iterable[Call] = (self._call(name, n) for n, name in enumerate(chosen))
            if workload == "changes":
                calls = self._changes()
            self._made[workload] = Plan.of(self._file(workload), calls)
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
        if workload in {"create", "bulk", "edit"}:
            return self._write(workload, person, _TITLE.format(next(_titles)))
        if workload == "get":
            return Call("GET", self._task(person), token)
        looked_for: dict[str, object] = {}
        if workload == "filter":
            looked_for = {"status": "open", "label": LABEL}
        elif workload == "search":
            looked_for = {"q": random.choice(NAMES)}
        return Call("GET", _query(at, **looked_for, limit=self._limit), token)

    def _write(self, workload: str, person: Person, title: str) -> Call:
        at, token = self._contestant.path(person), self._contestant.token(person)
        if workload == "edit":
            return Call("PUT", self._task(person), token, body=f'{{"title":"{title}"}}')
        if workload == "create":
            body = f'{{"title":"{title}","description":"Two pages, by hand."}}'
            return Call("POST", at, token, body=body)
        task = f'{{"op":"create","task":{{"title":"{title}"}}}}'
        body = f'{{"operations":[{",".join([task] * BULK)}]}}'
        return Call("POST", f"{at}/bulk", token, body=body)

    def _auth(self, action: str) -> str:
        return f"{self._contestant.prefix}/auth/{action}"

    def _task(self, person: Person) -> str:
        path = self._contestant.path(person).partition("?")[0]
        return f"{path}/{random.choice(self._tasks[person.id])}"

    def _changes(self) -> list[Call]:
        """The last changes of each owner: of our log, or by the times of the last changes."""
        people = {person.id: person for person in self._people.owners}
        if self._contestant.table == OURS.table:
            places = {
                owner: cursors.changes(UserId(owner)).at(LogPosition(epoch, position))
                for owner, epoch, position in self._database.logged(list(people), _CHANGES)
            }
        else:
            found = self._database.changed(self._contestant.table, list(people), _CHANGES)
            places = {owner: _written(at, task) for owner, at, task in found}
        path = f"{self._contestant.prefix}/changes"
        return [
            Call("GET", _query(path, cursor=place, limit=_CHANGES), self._token(people[owner]))
            for owner, place in sorted(places.items())
        ]

    def _token(self, person: Person) -> str:
        return self._contestant.token(person)

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


def _written(at: str, task: int) -> str:
    """As the rivals write a cursor."""
    return urlsafe_b64encode(json.dumps([at, task]).encode()).rstrip(b"=").decode()
