"""Cursors: where the next page of a list begins, as a text that clients send back unread."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from taskcore.domain.audit import AuditEvent, AuditEventId, AuditEventPosition
from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.events import TaskEvent
from taskcore.domain.ids import MAX_ID
from taskcore.domain.search import Search
from taskcore.domain.sessions import Session, SessionId, SessionPosition
from taskcore.domain.task_orders import Sort, TaskPosition, position
from taskcore.domain.task_queries import TaskQuery
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import ChangedTask, LabelCount, LogPosition, Page, TrashPosition

Item = TypeVar("Item")
Position = TypeVar("Position", bound=Any)


def _written(position: object) -> str:
    return " ".join(map(_text, position if isinstance(position, tuple) else (position,)))


def _text(part: object) -> str:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else str(part)


class Cursors(Generic[Item, Position]):
    """The cursors of one list."""

    def __init__(
        self,
        of: str,
        position: Callable[[Item], Position],
        parse: Callable[[str], Position],
        write: Callable[[Position], str] = _written,
    ) -> None:
        """`write` is what `parse` reads."""
        self._prefix, self._position, self._parse, self._write = f"{of} ", position, parse, write

    def after(self, page: Page[Item]) -> str | None:
        """The cursor of the page that follows; None after the last page."""
        return self.at(self._position(page.items[-1])) if page.has_more else None

    def read(self, cursor: str) -> Position | None:
        """What a list takes as `after`; None for an empty text, which is the first page.

        Raises Invalid for a text that `after` never returns, and for the cursor of another list.
        """
        if not cursor:
            return None
        text = ""
        with suppress(ValueError, OverflowError):
            text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            position = self._parse(text.removeprefix(self._prefix))
            if self.at(position) == cursor:  # a cursor has one spelling
                return position
        if text.startswith(_LISTS) and not text.startswith(self._prefix):
            detail = "is the cursor of another list or user, or of other filters or another order"
            raise Invalid(Problem("cursor", detail, "cursor_mismatch"))
        detail = "is no cursor of ours; take the one that a page has, or leave it out"
        raise Invalid(Problem("cursor", detail, "wrong_type"))

    def at(self, position: Position) -> str:
        """The cursor of what follows that position."""
        text = self._prefix + self._write(position)
        return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def history(task_id: TaskId) -> Cursors[TaskEvent, int]:
    """Of the history of that task."""
    return Cursors(f"history {task_id}", lambda event: event.position, _id)


def changes(owner_id: UserId) -> Cursors[ChangedTask, LogPosition]:
    """Of what changes in that account."""
    return Cursors(f"changes {owner_id}", lambda item: item.place, _place)


def _place(text: str) -> LogPosition:
    epoch, _, position = text.partition(" ")
    return LogPosition(_number(epoch), _number(position))


def _number(text: str) -> int:
    if not 0 <= (number := int(text)) <= MAX_ID:
        raise ValueError(text)
    return number


def _id(text: str) -> int:
    if not 1 <= (number := int(text)) <= MAX_ID:
        raise ValueError(text)
    return number


def _event(text: str) -> AuditEventPosition:
    at, _, number = text.partition(" ")
    return AuditEventPosition(datetime.fromisoformat(at), AuditEventId(_id(number)))


def _session(text: str) -> SessionPosition:
    at, _, number = text.partition(" ")
    return SessionPosition(datetime.fromisoformat(at), SessionId(UUID(number)))


def _task(text: str) -> TaskPosition:
    number = TaskId(_id(text))
    return TaskPosition(number, number)


def _sorted_by(sort: Sort) -> Callable[[str], TaskPosition]:
    moments = sort in {Sort.DUE, Sort.UPDATED}

    def parse(text: str) -> TaskPosition:
        key, _, number = text.partition(" ")
        return TaskPosition(
            datetime.fromisoformat(key) if moments else int(key), TaskId(_id(number))
        )

    return parse


def _thrown(text: str) -> TrashPosition:
    at, _, number = text.partition(" ")
    return TrashPosition(datetime.fromisoformat(at), TaskId(_id(number)))


def tasks(query: TaskQuery, owner_id: UserId | None = None) -> Cursors[Task, TaskPosition]:
    """The cursors of this query's list of that owner's tasks; they fit no other list.

    Raises Invalid for words that cannot be searched for.
    """
    fingerprint = query.fingerprint(owner_id)
    if not fingerprint:
        return _PLAIN_TASKS
    search = None if query.q is None else Search.parse(query.q)
    sort = query.order
    return Cursors(
        f"sorted tasks {fingerprint}", lambda task: position(task, sort, search), _sorted_by(sort)
    )


_PLAIN_TASKS = Cursors[Task, TaskPosition](
    "tasks", lambda task: TaskPosition(task.id, task.id), _task, lambda place: str(place.task_id)
)
TRASH = Cursors[Task, TrashPosition]("trash", TrashPosition.of, _thrown)
LABELS = Cursors[LabelCount, str]("labels", lambda label: label.key, str)
USERS = Cursors[User, UserId]("users", lambda user: user.id, lambda text: UserId(_id(text)))
SESSIONS = Cursors[Session, SessionPosition]("sessions", lambda each: each.position, _session)
AUDIT = Cursors[AuditEvent, AuditEventPosition]("audit", lambda event: event.position, _event)
OWN_AUDIT = Cursors[AuditEvent, AuditEventPosition](
    "own events", lambda event: event.position, _event
)
_LISTS = (
    *("tasks ", "sorted tasks ", "trash ", "labels "),
    *("users ", "sessions ", "audit ", "own events ", "history ", "changes "),
)
