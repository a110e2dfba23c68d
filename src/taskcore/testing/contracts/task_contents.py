"""What the suites write into the fields of a task. A new field has its value in CHANGED, once."""

from datetime import UTC, date, datetime
from typing import Any

from taskcore.domain.tasks import Priority, Status, TaskChanges

DUE = datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)

CHANGED: TaskChanges = {
    "title": "Changed \u00e9 \" ' \\ {}",
    "description": "Changed too",
    "status": Status.DONE,
    "priority": Priority.URGENT,
    "due_date": date(2031, 2, 3),
    "due_at": DUE,
    "time_zone": "Europe/Berlin",
    "labels": ("Home", "\u00e9", 'a "b"', "c\\d"),
}
"""For each field that an edit may name: neither its default nor what `add_task` gives it."""

BESIDE: dict[str, dict[str, Any]] = {"time_zone": {"due_at": DUE}}
"""What a field needs beside it."""

FULL: dict[str, Any] = {name: value for name, value in CHANGED.items() if name != "due_date"}
"""All fields at once, but for the due date: a task has that or `due_at`."""

DATED: dict[str, Any] = {"due_date": CHANGED["due_date"]}
