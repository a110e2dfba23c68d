"""That the rivals do the same work: their answers have the fields, tasks and totals that ours have.

Before the first run, when all tables hold the same tasks. Ids, times and cursors may differ.
"""

import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.plans import Plans

_READS = ("get", "list", "filter", "search", "changes")
_REQUESTS = 3
_MAY_DIFFER = {"id", "version", "completed_at", "created_at", "updated_at", "cursor", "next_cursor"}
_DUE = "2026-03-01T10:00:00Z"
# In their order, on a task of the owner who creates it. Of refusals only the status is compared.
_WRITES: Sequence[tuple[str, dict[str, Any]]] = (
    ("PUT", {"status": "todo", "due_date": "2026-03-02"}),
    ("PUT", {"labels": [], "priority": "low", "description": "by hand"}),
    ("PUT", {"due_date": "2026-03-02", "due_at": _DUE}),
    ("PUT", {"status": "nearly"}),
    ("PUT", {"title": ""}),
    ("PUT", {"colour": "red"}),
    ("GET", {}),
    ("DELETE", {}),
    ("GET", {}),
)
_CREATED = {
    "title": "Agree",
    "status": "done",
    "priority": "high",
    "labels": ["Home", "Büro"],
    "due_at": _DUE,
}


@dataclass(frozen=True)
class Speaker:
    """A contestant that serves, and what to ask it for."""

    contestant: Contestant
    plans: Plans

    def answers(self) -> Iterator[tuple[str, Any]]:
        for workload in _READS:
            with self.plans.plan(workload).file.open() as lines:
                for line in islice(lines, _REQUESTS):
                    method, path, token, *_ = line.split("\t")
                    yield workload, self._asked(method, path, token)[0]
        yield from self._writes()

    def _writes(self) -> Iterator[tuple[str, Any]]:
        with self.plans.plan("create").file.open() as lines:
            first, other = (line.split("\t") for line in islice(lines, 2))
        _, path, token, *_ = first
        shown, task = self._asked("POST", path, token, _CREATED)
        yield "create", shown
        place = f"{path}/{task['id']}"
        yield "get without a token", self._asked("GET", place, "")[0]
        yield "get by another", self._asked("GET", place, other[2])[0]
        for method, body in _WRITES:
            yield f"{method} {body}", self._asked(method, place, token, body)[0]

    def _asked(
        self, method: str, path: str, token: str, body: dict[str, Any] | None = None
    ) -> tuple[tuple[int, Any], Any]:
        """Its status with what must be alike, and the whole answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.contestant.port, timeout=10)
        head = {"Authorization": f"Bearer {token}"} if token else {}
        text = json.dumps(body) if body else None
        if text:
            head["Content-Type"] = "application/json"
        connection.request(method, path, text, head)
        response = connection.getresponse()
        said = response.read()
        connection.close()
        is_good = response.status < http.HTTPStatus.BAD_REQUEST and said
        answer = json.loads(said) if is_good else None
        return (response.status, _alike(answer)), answer


def check(ours: Speaker, rival: Speaker) -> None:
    """Raises SystemExit for an answer that is not as ours."""
    for (asked, expected), (_, found) in zip(ours.answers(), rival.answers(), strict=True):
        if found != _as_far_as(found, expected):
            said = f"{rival.contestant.name} answers {asked} differently"
            raise SystemExit(f"{said}:\n{found}\nours:\n{expected}")


def _as_far_as(found: Any, ours: Any) -> Any:
    """Ours, without what a task of the rival lacks: a field that ours has had since."""
    if isinstance(ours, dict) and isinstance(found, dict):
        is_task = "title" in ours
        return {
            key: _as_far_as(found.get(key), value)
            for key, value in ours.items()
            if key in found or not is_task
        }
    if (
        isinstance(ours, list | tuple)
        and isinstance(found, list | tuple)
        and len(ours) == len(found)
    ):
        return type(ours)(_as_far_as(*each) for each in zip(found, ours, strict=True))
    return ours


def _alike(answer: Any) -> Any:
    """With whether there is one in place of each value that may differ."""
    if isinstance(answer, dict):
        return {
            key: value is not None if key in _MAY_DIFFER else _alike(value)
            for key, value in answer.items()
        }
    return [_alike(each) for each in answer] if isinstance(answer, list) else answer
