"""What a list of tasks holds, and in which order, in plain Python and straight from the contract.

It shares no code with what it judges: it looks at every task, and has its own idea of words, of
labels that are alike, and of when a day begins.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from unicodedata import combining, normalize
from zoneinfo import ZoneInfo

from taskcore.domain.task_queries import TaskQuery
from taskcore.domain.tasks import Task

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
OPEN, CLOSED = ("todo", "in_progress"), ("done", "cancelled")
PRIORITIES = ("none", "low", "medium", "high", "urgent")
MOST_RANKED = 500


@dataclass(frozen=True)
class Reader:
    now: datetime
    zone: str


def listed(tasks: Iterable[Task], query: TaskQuery, reader: Reader) -> list[Task]:
    """The whole list of one account's tasks, which are outside of its trash."""
    matching = [task for task in tasks if _matches(task, query, reader)]
    match query.sort or ("-created" if query.q is None else "relevance"):
        case "created":
            return sorted(matching, key=lambda task: task.id)
        case "due":
            return sorted(
                matching, key=lambda task: (not _is_due(task), _due(task, "UTC"), task.id)
            )
        case "-updated":
            return _descending(matching, lambda task: task.updated_at)
        case "priority":
            return _descending(matching, lambda task: PRIORITIES.index(task.priority))
        case "relevance":
            by_id = _descending(matching, lambda _: 0)
            newest, older = by_id[:MOST_RANKED], by_id[MOST_RANKED:]
            return [
                *_descending(newest, lambda task: len(_found(query.q or "", task.title))),
                *older,
            ]
    return _descending(matching, lambda _: 0)


def total(tasks: Iterable[Task], query: TaskQuery, reader: Reader, *, goes_on: bool) -> int | None:
    """The total on a page; `goes_on`: the page begins behind a position."""
    number = sum(_matches(task, query, reader) for task in tasks)
    if query.q is None and query == TaskQuery(sort=query.sort):
        return number
    return None if goes_on or (query.q is not None and number > MOST_RANKED) else number


def _descending(tasks: list[Task], key: Callable[[Task], float | datetime]) -> list[Task]:
    return sorted(tasks, key=lambda task: (key(task), task.id), reverse=True)


def _matches(task: Task, query: TaskQuery, reader: Reader) -> bool:
    wanted = [
        status
        for word in query.status
        for status in {"open": OPEN, "closed": CLOSED}.get(word, (word,))
    ]
    return (
        (not wanted or task.status in wanted)
        and (not query.priority or task.priority in query.priority)
        and (
            not query.label
            or any(_alike(name, asked) for name in task.labels for asked in query.label)
        )
        and (not query.overdue or _is_overdue(task, reader))
        and _is_within(
            _due(task, reader.zone) if _is_due(task) else None,
            query.due_from,
            query.due_until,
            reader,
        )
        and _is_within(task.completed_at, query.completed_from, query.completed_until, reader)
        and _is_within(task.updated_at, query.updated_from, None, reader)
        and (query.q is None or _has_all_words(query.q, f"{task.title} {task.description}"))
    )


def _is_within(
    moment: datetime | None, start: date | None, end: date | None, reader: Reader
) -> bool:
    """Whether it is in the half-open range; a day as a bound begins in the reader's zone."""
    if start is None and end is None:
        return True
    return (
        moment is not None
        and (start is None or _moment(start, reader.zone) <= moment)
        and (end is None or moment < _moment(end, reader.zone))
    )


def _is_due(task: Task) -> bool:
    return task.due_date is not None or task.due_at is not None


def _due(task: Task, zone: str) -> datetime:
    """The moment at which a task is due; a day is due when it begins in the zone."""
    return _moment(task.due_at or task.due_date or date.max, zone)


def _is_overdue(task: Task, reader: Reader) -> bool:
    if task.status not in OPEN:
        return False
    if task.due_at is not None:
        return task.due_at < reader.now
    today = reader.now.astimezone(ZoneInfo(reader.zone)).date()
    return task.due_date is not None and task.due_date < today


def _moment(bound: date, zone: str) -> datetime:
    return bound if isinstance(bound, datetime) else _beginning(bound, zone)


@cache
def _beginning(day: date, zone: str) -> datetime:
    """The first quarter of an hour at which a calendar there shows the day or a later one."""
    try:
        moment = datetime.combine(day, time(), UTC) - timedelta(hours=16)
        while moment.astimezone(ZoneInfo(zone)).date() < day:
            moment += timedelta(minutes=15)
    except OverflowError:
        return FIRST if day.year == 1 else LAST
    return moment


def _alike(one: str, other: str) -> bool:
    return normalize("NFC", one).casefold() == normalize("NFC", other).casefold()


# Han and Kana are written without blanks: each character is a word.
_WORD = re.compile("[\u3040-\u30ff\u4e00-\u9fff]|[^\\W_\u3040-\u30ff\u4e00-\u9fff]+")


@cache
def _words(text: str) -> frozenset[str]:
    """The words of a text, regardless of case and accents."""
    letters = normalize("NFKD", text.casefold())
    return frozenset(_WORD.findall("".join(c for c in letters if not combining(c)).casefold()))


def _found(query: str, text: str) -> set[str]:
    """The query's words that the text has; those of two or more characters as beginnings too."""
    there = _words(text)
    return {
        asked
        for asked in _words(query)
        if asked in there or (len(asked) > 1 and any(word.startswith(asked) for word in there))
    }


def _has_all_words(query: str, text: str) -> bool:
    return _found(query, text) == _words(query)
