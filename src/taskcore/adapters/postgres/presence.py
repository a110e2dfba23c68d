"""Whether the database answers, by what came of the latest attempts to reach it."""

import select
from typing import Any

from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus


class Presence:
    """What the connections of a pool have found out together."""

    __slots__ = ("answers", "is_away", "probe")

    def __init__(self) -> None:
        self.answers = 0
        """How many statements were answered, on all connections."""
        self.is_away = False
        self.probe: object = None
        """The one request that tries to reach a database that is away."""

    def answered(self) -> None:
        self.answers += 1
        self.is_away, self.probe = False, None

    def is_silent(self, connection: AsyncConnection[Any], since: int) -> bool:
        """Whether the server owes an answer here, and `since` has given none on any connection.

        `since` is what `answers` was when the statement was sent. The time between statements is
        this process's own. An answer that has arrived counts, though this process was too busy to
        read it.
        """
        is_owed = connection.info.transaction_status is TransactionStatus.ACTIVE
        return is_owed and since == self.answers and not has_input(connection)


def has_input(connection: AsyncConnection[Any]) -> bool:
    """Whether something has arrived that is not read yet, an EOF included."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
