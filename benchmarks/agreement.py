"""That the rivals do the same work: their answers have the fields, tasks and totals that ours have.

Before the first run, when all tables hold the same tasks. Ids, times and cursors may differ.
"""

import http.client
import json
from collections.abc import Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.plans import Plans

WORKLOADS = ("get", "list", "filter", "search", "changes")
_REQUESTS = 3
_MAY_DIFFER = {"id", "version", "completed_at", "created_at", "updated_at", "cursor", "next_cursor"}


def check(ours: tuple[Contestant, Plans], others: Sequence[tuple[Contestant, Plans]]) -> None:
    """Raises SystemExit for an answer that is not as ours."""
    for workload in WORKLOADS:
        expected = _answers(*ours, workload)
        for contestant, plans in others:
            for wanted, found in zip(expected, _answers(contestant, plans, workload), strict=True):
                if wanted != found:
                    said = f"{contestant.name} answers {workload} differently"
                    raise SystemExit(f"{said}:\n{found}\nours:\n{wanted}")


def _answers(contestant: Contestant, plans: Plans, workload: str) -> list[Any]:
    """To the first requests of the plan."""
    connection = http.client.HTTPConnection("127.0.0.1", contestant.port, timeout=10)
    found = []
    with plans.plan(workload).file.open() as lines:
        for line in islice(lines, _REQUESTS):
            method, path, token, *_ = line.split("\t")
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            text = response.read()
            if response.status != HTTPStatus.OK:
                raise SystemExit(f"{contestant.name} answers {workload} by {response.status}")
            found.append(_alike(json.loads(text)))
    connection.close()
    return found


def _alike(answer: Any) -> Any:
    """With a type in place of each value that may differ."""
    if isinstance(answer, dict):
        return {
            key: bool(value) if key in _MAY_DIFFER else _alike(value)
            for key, value in answer.items()
        }
    return [_alike(each) for each in answer] if isinstance(answer, list) else answer
