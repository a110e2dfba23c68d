"""Cursors: where the next page of a list begins, as a text that clients send back unread."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from taskcore.domain.audit import Event, EventId, EventPosition
from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.rules import MAX_ID
from taskcore.domain.sessions import Session, SessionId, SessionPosition
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import Page

Item = TypeVar("Item")
Position = TypeVar("Position", bound=Any)


class Cursors(Generic[Item, Position]):
    """The cursors of one list."""

    _lists: tuple[str, ...] = ()

    def __init__(
        self, of: str, position: Callable[[Item], Position], parse: Callable[[str], Position]
    ) -> None:
        self._prefix, self._position, self._parse = f"{of} ", position, parse
        Cursors._lists += (self._prefix,)

    def after(self, page: Page[Item]) -> str | None:
        """The cursor of the page that follows; None after the last page."""
        return self._encoded(self._position(page.items[-1])) if page.has_more else None

    def read(self, cursor: str) -> Position | None:
        """What a list takes as `before`; None for an empty text, which is the first page.

        Raises Invalid for a text that `after` never returns, and for the cursor of another list.
        """
        if not cursor:
            return None
        text = ""
        with suppress(ValueError, OverflowError):
            text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            position = self._parse(text.removeprefix(self._prefix))
            if self._encoded(position) == cursor:  # it has one spelling
                return position
        if text.startswith(Cursors._lists) and not text.startswith(self._prefix):
            detail = "is the cursor of another list; take the next_cursor of a page of this one"
            raise Invalid(Problem("cursor", detail, "cursor_mismatch"))
        detail = "is no cursor of ours; take the next_cursor of a page, or leave it out"
        raise Invalid(Problem("cursor", detail, "wrong_type"))

    def _encoded(self, position: Position) -> str:
        parts = position if isinstance(position, tuple) else (position,)
        text = self._prefix + " ".join(map(_text, parts))
        return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _text(part: object) -> str:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else str(part)


def _id(text: str) -> int:
    if not 1 <= (number := int(text)) <= MAX_ID:
        raise ValueError(text)
    return number


def _event(text: str) -> EventPosition:
    at, _, number = text.partition(" ")
    return EventPosition(datetime.fromisoformat(at), EventId(_id(number)))


def _session(text: str) -> SessionPosition:
    at, _, number = text.partition(" ")
    return SessionPosition(datetime.fromisoformat(at), SessionId(UUID(number)))


TASKS = Cursors[Task, TaskId]("tasks", lambda task: task.id, lambda text: TaskId(_id(text)))
USERS = Cursors[User, UserId]("users", lambda user: user.id, lambda text: UserId(_id(text)))
SESSIONS = Cursors[Session, SessionPosition]("sessions", lambda each: each.position, _session)
EVENTS = Cursors[Event, EventPosition]("audit", lambda event: event.position, _event)
OWN_EVENTS = Cursors[Event, EventPosition]("own events", lambda event: event.position, _event)
