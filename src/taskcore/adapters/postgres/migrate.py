"""Migrates a database, and reads its revision."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from taskcore.adapters.postgres.compatibility import ENCODING
from taskcore.adapters.postgres.conninfo import conninfo, with_options
from taskcore.adapters.postgres.errors import Unexplained, translated
from taskcore.adapters.postgres.former_schemas import mend
from taskcore.adapters.postgres.schema import REVISION
from taskcore.adapters.postgres.session_settings import UNLIMITED
from taskcore.domain.errors import (
    Invalid,
    Misconfigured,
    Problem,
    RightsMissing,
    SchemaTooNew,
    Unavailable,
    WrongEncoding,
)

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported in the functions that need it, as it would slow down every start.
# ruff: noqa: PLC0415

# Any number that no other program on the same database uses for its advisory locks.
SCHEMA_LOCK = 0x7461736B636F7265  # "taskcore"
_LOCK_TIMEOUT = 10.0  # seconds
_BUSY = "Another process is migrating the database, or rebuilds an index; try again"
_NOT_THE_OWNER = "The database role may not migrate; run this with the owner's DATABASE_URL"
_REFUSED_BY_A_POOLER = "unsupported startup parameter"  # PgBouncer, of our `options`
_WANTS_POOLER = (
    "A pooler answers, which takes no `options`: set DATABASE_POOLER=on; `taskcli db upgrade`,"
    " `backup` and `restore` need a DATABASE_URL that leads to PostgreSQL itself"
)
_POLL = 0.05
_UNVACUUMED = sa.text(
    "SELECT 'autovacuum_enabled=off' = ANY(reloptions) FROM pg_class"
    " WHERE oid = to_regclass('tasks')"
)


@dataclass(frozen=True)
class Upgrade:
    """The revisions of a database before and after; None for a database that had none."""

    before: str | None
    after: str | None


def upgrade(url: str, revision: str = "head") -> Upgrade:
    """Apply each revision as a whole or not at all; after an interruption call this again.

    A concurrent upgrade waits for this one, and then has nothing to do. Raises Unavailable,
    SchemaTooNew for a database that a newer release has migrated, WrongEncoding, and Invalid for an
    unknown revision.
    """
    from alembic import command
    from alembic.util import CommandError

    with _migrating(url) as connection:
        before = _revision(connection)
        if before is not None and before > REVISION:
            raise SchemaTooNew(
                f"The database has revision {before}, and the newest of this release is {REVISION}:"
                " a newer release has migrated it"
            )
        try:
            command.upgrade(_config(connection), revision)
        except CommandError:
            raise Invalid(Problem("revision", "is not one of ours", "unknown_revision")) from None
        return Upgrade(before, _revision(connection))


def downgrade(url: str, revision: str) -> None:
    """Raises Unavailable."""
    from alembic import command

    with _migrating(url) as connection:
        command.downgrade(_config(connection), revision)


def current_revision(url: str, *, pooler: bool = False) -> str | None:
    """The revision; None for a database that was never migrated. Raises Unavailable."""
    with _connection(url, pooler=pooler) as connection:
        return _revision(connection)


def _revision(connection: sa.Connection) -> str | None:
    from alembic.migration import MigrationContext

    revision = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()  # else Alembic would leave its own transactions to this one
    return revision


def is_vacuumed(url: str, *, pooler: bool = False) -> bool:
    """Whether autovacuum of the tasks is on. A migration switches it off, and may leave it so.

    Raises Unavailable.
    """
    with _connection(url, pooler=pooler) as connection:
        return not connection.scalar(_UNVACUUMED)


def reach(url: str, *, pooler: bool = False) -> None:
    """Raises Unavailable with libpq's message, for operators only: it names host and user.

    Raises Misconfigured where a pooler answers that takes no connection like ours.
    """
    _connected(url, pooler=pooler).close()


def _connected(url: str, *, pooler: bool) -> "psycopg.Connection[Any]":
    try:
        if pooler:  # which knows no statement of another connection
            return psycopg.connect(conninfo(url, pooler=True), prepare_threshold=None)
        return psycopg.connect(with_options(url, UNLIMITED))
    except psycopg.OperationalError as error:
        if not pooler and _REFUSED_BY_A_POOLER in str(error):
            raise Misconfigured([_WANTS_POOLER]) from None
        # PostgreSQL writes two blanks after FATAL; the second would be shown as an escape.
        reason = " ".join(str(error).partition("\n")[0].split())
        raise Unavailable(f"The database cannot be reached: {reason}") from None


def _suited(url: str, *, pooler: bool) -> "psycopg.Connection[Any]":
    """Raises Unavailable as `reach`, and WrongEncoding."""
    connection = _connected(url, pooler=pooler)
    if connection.info.parameter_status("server_encoding") != ENCODING:
        connection.close()
        raise WrongEncoding
    return connection


@contextmanager
def _migrating(url: str) -> Iterator[sa.Connection]:
    """A connection for the only process that migrates. Raises Unavailable.

    At the end PostgreSQL vacuums by itself again: revision 0009 and the way back from it switch
    that off for the tasks, and may have given up, in this call or in one before.
    """
    try:
        with _connection(url) as connection:
            _lock(connection)
            try:
                mend(connection)
                yield connection
            finally:
                with suppress(SQLAlchemyError):  # the connection is lost: the next call does it
                    connection.rollback()
                    if connection.scalar(_UNVACUUMED):
                        connection.execute(sa.text("ALTER TABLE tasks RESET (autovacuum_enabled)"))
                        connection.commit()
    except RightsMissing:
        raise RightsMissing(_NOT_THE_OWNER) from None


def _lock(connection: sa.Connection) -> None:
    """One process migrates at a time, until its connection closes. Raises Unavailable.

    Asks again and again instead of waiting in the server: an index that is built concurrently
    waits for every statement that runs, and would wait for that one.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT
    taken = sa.text("SELECT pg_try_advisory_lock(:lock)")
    while not connection.execute(taken, {"lock": SCHEMA_LOCK}).scalar_one():
        connection.rollback()
        if time.monotonic() > deadline:
            raise Unavailable(_BUSY)
        time.sleep(_POLL)
    connection.commit()  # else Alembic would leave its own transactions to this one


@contextmanager
def _connection(url: str, *, pooler: bool = False) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: _suited(url, pooler=pooler), poolclass=NullPool
    )
    try:
        with engine.connect() as connection:
            yield connection
    except PendingRollbackError as error:  # what Alembic meets when the connection is lost
        raise Unavailable("The database ended the connection") from error
    except DBAPIError as error:
        original = error.orig if isinstance(error.orig, Exception) else error
        meaning = translated(original)
        if meaning is original or isinstance(meaning, Unexplained):
            raise  # operators run migrations, and need the full message
        raise meaning from error


def _config(connection: sa.Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def scripts() -> Path:
    """The folder of the revisions: in the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[2]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"
