"""How a task is written to its rows and read from them."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR

from taskcore.adapters.postgres.schema import tasks
from taskcore.domain.labels import label_key
from taskcore.domain.search import found_by
from taskcore.domain.task_orders import due_key
from taskcore.domain.tasks import NewTask, Priority, Status, Task
from taskcore.domain.users import UserId

STATUS_NUMBERS = {status: number for number, status in enumerate(Status)}
PRIORITY_NUMBERS = {priority: number for number, priority in enumerate(Priority)}
_STATUSES, _PRIORITIES = tuple(Status), tuple(Priority)

_FIELDS = [field.name for field in fields(Task)]
COLUMNS = ["edition" if name == "version" else name for name in _FIELDS if name != "deleted_at"]
"""The columns of a task, in the order of its fields."""
# The fields that are written as they are, and what else is written.
_AS_THEY_ARE = [
    field.name
    for field in fields(NewTask)
    if field.name not in {"owner_id", "created_at", "status", "priority", "labels"}
]
_values = attrgetter(*_AS_THEY_ARE)
_MADE = ("status", "priority", "due_sort", "labels", "label_keys", "label_hashes")

# Label names hold no line ends: so a list travels as one text, and a batch as one array of texts.
_LINE_END: sa.ColumnElement[str] = sa.literal_column("E'\\n'")

# What makes the column's value from the form in which it travels in a batch.
_AS_IS: Callable[[Any], Any] = lambda column: column  # noqa: E731
_LIST: Callable[[Any], Any] = lambda column: sa.func.string_to_array(column, _LINE_END)  # noqa: E731
_NUMBERS: Callable[[Any], Any] = lambda column: sa.cast(column, sa.ARRAY(sa.BigInteger))  # noqa: E731
_LISTS = {"labels": _LIST, "label_keys": _LIST, "label_hashes": _NUMBERS}
WRITTEN = (*_AS_THEY_ARE, *_MADE, "edition", "updated_at")


def travelling(*names: str) -> dict[str, Any]:
    """The types of these columns in a batch."""
    return {name: sa.Text() if name in _LISTS else tasks.c[name].type for name in names}


def arrived(batch: Any, *names: str) -> list[sa.ColumnElement[Any]]:  # noqa: ANN401 - an alias or a CTE
    """These columns of a batch, as the table holds them."""
    return [_LISTS.get(name, _AS_IS)(batch.c[name]).label(name) for name in names]


def vector(column: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    return sa.cast(column, TSVECTOR)


def values_of(task: Task | NewTask) -> dict[str, Any]:
    """The arguments for WRITTEN, without `edition` and `updated_at`."""
    values: dict[str, Any] = dict(zip(_AS_THEY_ARE, _values(task), strict=True))
    values |= {
        "status": STATUS_NUMBERS[task.status],
        "priority": PRIORITY_NUMBERS[task.priority],
        "due_sort": due_key(task.due_date, task.due_at),
        "labels": "",
        "label_keys": None,
        "label_hashes": None,
    }
    if task.labels:
        keys = [label_key(name) for name in task.labels]
        values["labels"] = "\n".join(task.labels)
        values["label_keys"] = "\n".join(keys)
        values["label_hashes"] = f"{{{','.join(map(str, map(label_hash, keys)))}}}"
    return values


def label_hash(key: str) -> int:
    """A hash of 64 bits: no two labels of an account have the same one, unless they are made to."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


def words_vector(task: Task | NewTask) -> str:
    """The text of a tsvector: the owner's id and a word, weighted A if it is in the title."""
    prefix = f"'{task.owner_id}:"
    weights = dict.fromkeys(found_by(task.description), "':1")
    weights |= dict.fromkeys(found_by(task.title), "':1A")
    return " ".join(f"{prefix}{word}{weight}" for word, weight in weights.items())


def task_of(row: Sequence[Any]) -> Task:
    """The task of a row of COLUMNS, followed by `deleted_at` if the task is in the trash."""
    number, title, description, status, priority, due_date, due_at, zone, labels, *rest = row
    return Task(
        number,
        title,
        description,
        _STATUSES[status],
        _PRIORITIES[priority],
        due_date,
        due_at,
        zone,
        tuple(labels),
        *rest,
    )


def columns_of_tasks(table: Any) -> list[sa.ColumnElement[Any]]:  # noqa: ANN401 - a table or a CTE
    return [table.c[name] for name in COLUMNS]


def write_values(task: Task, was: Task, by: UserId | None) -> dict[str, Any]:
    """The arguments of any write to a task that is stored as `was`."""
    return {
        "actor_id": by,
        "owner_id": was.owner_id,
        "task_id": was.id,
        "previous": was.version,
        "edition": task.version,
        "updated_at": task.updated_at,
    }
