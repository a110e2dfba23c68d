"""How a task is written to its rows and read from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from hashlib import blake2b
from itertools import chain
from operator import attrgetter
from sys import getsizeof
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR

from taskcore.adapters.postgres.entities import maker
from taskcore.adapters.postgres.schema import tasks
from taskcore.adapters.postgres.statements import HoldMore, Rows
from taskcore.domain.labels import MAX_LABEL, label_key
from taskcore.domain.search import found_by
from taskcore.domain.task_orders import due_key
from taskcore.domain.tasks import WORDS, NewTask, Task
from taskcore.domain.users import UserId

NUMBERS: Mapping[str, Mapping[Any, Any]] = {
    name: {None: None} | {word: number for number, word in enumerate(words)}
    for name, words in WORDS.items()
}
"""The fields that hold a word, and the number that is stored for each word; None stays None."""

# Bytes that Python needs for a character, and for a text beside those, at most.
_CHARACTER, _TEXT = 4, 80

_FIELDS = [field.name for field in fields(Task)]
COLUMNS = ["edition" if name == "version" else name for name in _FIELDS if name != "deleted_at"]
"""The columns of a task, in the order of its fields."""

if _UNDECLARED := set(COLUMNS) - set(tasks.c.keys()):
    raise LookupError(f"declare the columns of these fields of a task in schema.py: {_UNDECLARED}")

# How the value of a column becomes that of the field, where they differ; by the column's place.
_READ: tuple[tuple[int, Callable[[Any], Any]], ...] = tuple(
    (COLUMNS.index(name), read)
    for name, read in (
        *((name, {n: word for word, n in NUMBERS[name].items()}.__getitem__) for name in NUMBERS),
        ("labels", tuple),
    )
)

_task = maker(Task)

# The fields that are written as they are, and what else is written.
_AS_THEY_ARE = [
    field.name
    for field in fields(NewTask)
    if field.name not in {"owner_id", "created_at", "labels", *WORDS}
]
_values = attrgetter(*_AS_THEY_ARE)
_MADE = (*WORDS, "due_sort", "labels", "label_keys", "label_hashes")

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
        "due_sort": due_key(task.due_date, task.due_at),
        "labels": "",
        "label_keys": None,
        "label_hashes": None,
    }
    for name, numbers in NUMBERS.items():
        values[name] = numbers[getattr(task, name)]
    if task.labels:
        keys = [label_key(name) for name in task.labels]
        values["labels"] = "\n".join(task.labels)
        values["label_keys"] = "\n".join(keys)
        values["label_hashes"] = f"{{{','.join(map(str, map(label_hash, keys)))}}}"
    return values


def label_hash(key: str) -> int:
    """A hash of 64 bits: no two labels of an account have the same one, unless they are made to."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


def words_vector(task: Task | NewTask, known: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text of a tsvector: the owner's id and a word, weighted A if it is in the title.

    `known` has `blank_separated` of texts for which it was found already.
    """
    prefix = f"'{task.owner_id}:"
    words = known.get(task.description)
    described = found_by(task.description) if words is None else words.split()
    weights = dict.fromkeys(described, "':1")
    weights |= dict.fromkeys(found_by(task.title), "':1A")
    return " ".join(f"{prefix}{word}{weight}" for word, weight in weights.items())


def task_of(row: Sequence[Any]) -> Task:
    """The task of a row of COLUMNS, followed by `deleted_at` if the task is in the trash."""
    values = list(row)
    for place, read in _READ:
        values[place] = read(values[place])
    return _task(*values)


def texts_at(begin: int) -> HoldMore:
    """How to tell whether the texts of the tasks in these rows take more than so many bytes.

    The columns of a task begin at `begin`. What counts is the memory, in which a short text has its
    part too: to decode a thousand labels takes as long as to decode a long description.
    """
    title, description, labels = (
        begin + COLUMNS.index(name) for name in ("title", "description", "labels")
    )

    def hold_more(rows: Rows, size: int) -> bool:
        characters = sum([len(row[title] or "") + len(row[description] or "") for row in rows])
        number = sum([len(row[labels] or ()) for row in rows])
        most = _CHARACTER * (characters + MAX_LABEL * number) + _TEXT * (2 * len(rows) + number)
        if most <= size:
            return False  # as nearly always; found in a fifth of the time
        texts = chain.from_iterable(
            (row[title], row[description], *(row[labels] or ())) for row in rows
        )
        return sum(map(getsizeof, texts)) > size

    return hold_more


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
