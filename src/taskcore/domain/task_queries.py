"""Lists of tasks: what may be asked for, and which tasks match."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256

from taskcore.domain.dues import DueRange, check_moment, start_of_day, zone
from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.labels import label_key, label_problem
from taskcore.domain.refusals import refuse
from taskcore.domain.search import Search
from taskcore.domain.task_orders import Sort
from taskcore.domain.tasks import CLOSED, OPEN, Priority, Status, Task
from taskcore.domain.users import UserId

MAX_VALUES = 20
"""How many values a filter takes at most."""
MAX_RANKED = 500
"""So many of the newest matches are ranked by relevance; a total is exact up to here."""

# What `status` takes besides the words of Status.
STATUS_GROUPS = {"open": OPEN, "closed": CLOSED}

Moment = date | datetime


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a task must have to be in a list. None is no condition, an empty set never matches."""

    statuses: frozenset[Status] | None = None
    priorities: frozenset[Priority] | None = None
    label_keys: frozenset[str] | None = None
    """The task has a label with one of these keys; see `label_key`."""
    due: DueRange | None = None
    completed_from: datetime | None = None
    completed_until: datetime | None = None
    updated_from: datetime | None = None
    search: Search | None = None

    def matches(self, task: Task) -> bool:
        return (
            (self.statuses is None or task.status in self.statuses)
            and (self.priorities is None or task.priority in self.priorities)
            and (
                self.label_keys is None
                or not self.label_keys.isdisjoint(map(label_key, task.labels))
            )
            and (self.due is None or self.due.contains(task.due_date, task.due_at))
            and self._has_moments(task)
            and (self.search is None or self.search.matches(task.title, task.description))
        )

    def _has_moments(self, task: Task) -> bool:
        completed = task.completed_at
        if self.completed_from and not (completed and completed >= self.completed_from):
            return False
        if self.completed_until and not (completed and completed < self.completed_until):
            return False
        return self.updated_from is None or task.updated_at >= self.updated_from


EVERYTHING = TaskFilter()


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """What a reader asks a list for. Fields of several values match any of them.

    A bound that is a day is the beginning of that day in the reader's time zone; ranges do not
    include their end. Raises Invalid for what could not match or has the wrong type.
    """

    status: Sequence[Status | str] = ()
    """Words of Status, or `open` and `closed`."""
    priority: Sequence[Priority | str] = ()
    label: Sequence[str] = ()
    due_from: Moment | None = None
    due_until: Moment | None = None
    overdue: bool = False
    completed_from: Moment | None = None
    completed_until: Moment | None = None
    updated_from: Moment | None = None
    q: str | None = None
    sort: Sort | str | None = None
    """A word of Sort. None: by relevance with `q`, else the newest first."""

    def __post_init__(self) -> None:
        """Checks here, not in `filter`: a cursor is made of a query before the store is asked."""
        refuse(
            *(_several(name, getattr(self, name)) for name in ("status", "priority", "label")),
            *(_bound(name, getattr(self, name)) for name in _BOUNDS),
            _sort(self.sort, self.q),
            *_types(self),
        )
        refuse(*map(_label, self.label))
        _statuses(self.status)
        _priorities(self.priority)

    @property
    def order(self) -> Sort:
        if self.sort is not None:
            return Sort(self.sort)
        return Sort.NEWEST if self.q is None else Sort.RELEVANCE

    @property
    def is_plain(self) -> bool:
        """Whether the query asks for everything, newest first."""
        several = (self.status, self.priority, self.label)
        bounds = (self.due_from, self.due_until, self.completed_from, self.completed_until)
        return (
            self.order is Sort.NEWEST
            and not any(several)
            and all(one is None for one in (*bounds, self.updated_from, self.q))
            and not self.overdue
        )

    def fingerprint(self, owner_id: UserId | None) -> str:
        """A cursor fits the lists of one fingerprint; empty for the plain list of one's own."""
        if self.is_plain and owner_id is None:
            return ""
        asked = (
            sorted(set(map(str, self.status))),
            sorted(set(map(str, self.priority))),
            sorted(set(map(label_key, self.label))),
            *map(_text, (self.due_from, self.due_until, self.completed_from)),
            *map(_text, (self.completed_until, self.updated_from)),
            self.overdue,
            self.q,
            self.order.value,
            owner_id,
        )
        return sha256(repr(asked).encode(errors="surrogatepass")).hexdigest()[:16]

    def filter(self, now: datetime, reader_zone: str) -> TaskFilter:
        """What the query means now, to a reader in that zone. Raises Invalid for words of `q`."""
        if self.is_plain:
            return EVERYTHING
        here = zone(reader_zone)

        def moment(bound: Moment | None) -> datetime | None:
            if bound is None or isinstance(bound, datetime):
                return bound
            return start_of_day(bound, here)

        due = None
        if self.due_from is not None or self.due_until is not None:
            due = DueRange.between(self.due_from, self.due_until, here)
        statuses = _statuses(self.status)
        if self.overdue:
            past = DueRange.past(now, here)
            due = past if due is None else due.narrowed(past)
            statuses = OPEN if statuses is None else statuses & OPEN
        return TaskFilter(
            statuses=statuses,
            priorities=_priorities(self.priority),
            label_keys=frozenset(map(label_key, self.label)) or None,
            due=due,
            completed_from=moment(self.completed_from),
            completed_until=moment(self.completed_until),
            updated_from=moment(self.updated_from),
            search=None if self.q is None else Search.parse(self.q),
        )


_STATUSES, _PRIORITIES, _SORTS = frozenset(Status), frozenset(Priority), frozenset(Sort)
_BOUNDS = ("due_from", "due_until", "completed_from", "completed_until", "updated_from")


def _text(bound: Moment | None) -> str | None:
    if isinstance(bound, datetime):
        return bound.astimezone(UTC).isoformat()
    return None if bound is None else bound.isoformat()


def _statuses(words: Iterable[str]) -> frozenset[Status] | None:
    found: set[Status] = set()
    for word in words:
        if group := STATUS_GROUPS.get(word):
            found |= group
        elif word in _STATUSES:
            found.add(Status(word))
        else:
            raise _unknown("status", (*Status, *STATUS_GROUPS))
    return frozenset(found) or None


def _priorities(words: Iterable[str]) -> frozenset[Priority] | None:
    if any(word not in _PRIORITIES for word in words):
        raise _unknown("priority", tuple(Priority))
    return frozenset(map(Priority, words)) or None


def _unknown(name: str, words: Sequence[str]) -> Invalid:
    return Invalid(Problem(name, f"must be one of {', '.join(words)}", "wrong_type"))


def _several(name: str, values: object) -> Problem | None:
    # A text is a collection of texts too, but never meant as one.
    if isinstance(values, str) or not isinstance(values, Collection):
        return Problem(name, "takes a list of texts", "wrong_type")
    if len(values) > MAX_VALUES:
        return Problem(name, f"takes at most {MAX_VALUES} values", "too_many")
    return None


def _label(name: object) -> Problem | None:
    """The rule that the label breaks: no task can have such a label."""
    return label_problem("label", name)


def _bound(name: str, bound: object) -> Problem | None:
    if bound is None:
        return None
    if isinstance(bound, datetime):
        return check_moment(name, bound)
    if isinstance(bound, date):
        return None
    return Problem(name, "takes a day (date) or a moment (datetime)", "wrong_type")


def _sort(sort: object, q: str | None) -> Problem | None:
    if sort is not None and sort not in _SORTS:
        return Problem("sort", f"must be one of {', '.join(Sort)}", "wrong_type")
    if sort == Sort.RELEVANCE and q is None:
        return Problem("sort", "relevance needs q, the words to search for", "relevance_without_q")
    return None


def _types(query: TaskQuery) -> Iterator[Problem]:
    if query.q is not None and not isinstance(query.q, str):
        yield Problem("q", "takes a text", "wrong_type")
    if not isinstance(query.overdue, bool):
        yield Problem("overdue", "takes True or False", "wrong_type")


PLAIN = TaskQuery()
