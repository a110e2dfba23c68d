"""Storing sessions and their refresh tokens."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from taskcore.domain.audit import NewAuditEvent
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import RefreshToken, Session, SessionId, SessionPosition
from taskcore.domain.users import StoredCredentials, User, UserId
from taskcore.ports.leftovers import Removal
from taskcore.ports.pages import Page


class SessionRepository(Protocol):
    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        """The session's actor; None when it has ended, or its user is inactive or gone.

        May read what READ_AHEAD is about too, and keep it there for `TaskRepository.get` or
        `page`.
        """

    async def find_actors(
        self, session_ids: Sequence[SessionId], now: datetime
    ) -> Mapping[SessionId, Actor]:
        """Of these sessions, those that `find_actor` finds."""

    async def open(
        self, session: Session, token: RefreshToken, *, of: StoredCredentials, event: NewAuditEvent
    ) -> bool:
        """Add a session of that user, its first refresh token and the event: all or none.

        Returns False unless the user is active and still has the password hash given here.
        Removes the user's expired sessions, and the least recently used ones beyond MAX_SESSIONS;
        when these rows are locked, the next login removes them.
        """

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        """The token with its session and user, in one snapshot."""

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """The sessions that have not expired, most recently used first."""

    async def page(
        self,
        *,
        user_id: UserId | None,
        skip: int,
        limit: int,
        now: datetime,
        after: SessionPosition | None = None,
    ) -> Page[Session]:
        """One user's sessions, or all (None), as in `of_user`. With `after`, only older ones.

        If a session is used while a client reads the pages, it moves to the front, and later pages
        do not show it.
        """

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> bool:
        """Store the session, mark `used`, supersede the tokens before it, add its successor.

        Returns False, and changes nothing, when `used` is used already or its session has ended.
        """

    async def end(self, session_id: SessionId, *, of: UserId | None = None) -> UserId | None:
        """Remove the session; its tokens stop working at once. With `of`, only that user's.

        Returns the user whose session it was, None when there was none.
        """

    async def end_all(self, user_id: UserId, *, but: SessionId | None = None) -> int:
        """Remove all sessions of the user, except one. Returns how many."""

    async def end_some(self, limit: int) -> int:
        """Remove up to `limit` sessions, of whichever users. Returns how many."""

    async def remove_expired(self, limit: int, *, now: datetime) -> Removal:
        """Remove up to `limit` sessions that have expired, with all their tokens.

        Removes fewer if the store is too slow for so many, and skips those in use at the moment.
        """
