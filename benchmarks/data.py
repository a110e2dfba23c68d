"""The data of the contestants: the same people and tasks for each, written by COPY."""

import asyncio
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import bcrypt
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine

from benchmarks import seed_stack
from benchmarks.rows import SMALL
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.adapters.jwt import JwtTokens
from taskcore.adapters.keys import derived_key
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.task_rows import label_hash
from taskcore.adapters.tokens import OpaqueRefreshTokens
from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.policies import Actor
from taskcore.domain.search import words_of
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.tasks import Status
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims

SECRET_KEY = secrets.token_urlsafe(32)
PASSWORD = "correct horse battery"  # noqa: S105 - of accounts in a benchmark
TASKS_EACH = 100
_TITLE = "Write the letter"
_DESCRIPTION = "Two pages, by hand, and then to the post office before it closes. For {}."
# Of the tasks of an owner, every twentieth is found by one of these.
NAMES = (
    *("alice", "boris", "chidi", "divya", "elena", "farid", "gwen", "hugo", "ines", "jonas"),
    *("kenji", "laila", "mateo", "nora", "oskar", "priya", "quinn", "rosa", "samir", "tomas"),
)
LABEL = "home"
_BCRYPT_ROUNDS = 12  # as in the seed stack
_IDLE = timedelta(days=7)


@dataclass(frozen=True)
class Person:
    """A user of ours and of the seed stack, with a token for each."""

    id: int
    email: str
    token: str
    seed_token: str


@dataclass(frozen=True)
class People:
    owners: Sequence[Person]
    """With tasks."""
    logging_in: Sequence[Person]
    """Without tasks. They have few sessions: with many, a login ends the oldest."""
    admin: Person
    small: Sequence[Person] = ()
    """With SMALL tasks."""


@dataclass(frozen=True)
class Database:
    conninfo: str

    @property
    def url(self) -> str:
        parts = conninfo_to_dict(self.conninfo)
        known = {name: parts[name] for name in ("host", "port", "options") if parts.get(name)}
        query = "&".join(f"{name}={quote(str(value))}" for name, value in known.items())
        return f"postgresql://{parts['user']}@/{parts['dbname']}?{query}"

    @property
    def seed_url(self) -> str:
        """For SQLAlchemy, with the schema of the seed stack's tables."""
        url = self.url.replace("postgresql:", "postgresql+psycopg:")
        return f"{url}&options=-csearch_path%3Dseed"

    def in_schema(self, schema: str) -> "Database":
        """A new schema of the same database, without tables."""
        with self.connect() as db:
            db.execute(f"CREATE SCHEMA {schema}".encode())
        there = make_conninfo(self.conninfo, options=f"-c search_path={schema}")
        return Database(there)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo, autocommit=True)

    def fill(
        self, owners: int, *, each: int = TASKS_EACH, small: int = 0, beside: Sequence[str] = ()
    ) -> People:
        """Adds the people, and `each` tasks of every owner, in the tables of `beside` too."""
        ours, seeds = asyncio.run(_hashes())
        # Enough of them that none gets many sessions, of which a login would end the oldest.
        others = 10 * owners if beside else owners
        number = owners + small + others + 1
        names = [f"person{each}@example.org" for each in range(number)]
        with self.connect() as db:
            users = "(email, email_key, hashed_password, role)"
            with db.cursor().copy(f"COPY users {users} FROM STDIN") as copy:
                for name in names:
                    copy.write_row((name, name, ours, "admin" if name is names[-1] else "user"))
            ids = [row[0] for row in db.execute("SELECT id FROM users ORDER BY id")]
        people = asyncio.run(self._people(ids, names))
        rest = owners + small
        filled = People(people[:owners], people[rest:-1], people[-1], people[owners:rest])
        owner_ids = [person.id for person in filled.owners]
        for table in beside:
            self._make(table, seeds)
        self._add_tasks("tasks", [person.id for person in filled.small], SMALL)
        for table in ("tasks", *beside):
            self._add_tasks(table, owner_ids, each)
        return filled

    def _make(self, table: str, password_hash: str) -> None:
        schema = table.partition(".")[0]
        if schema == "seed":
            self._make_seed(password_hash)
            return
        self._make_like_ours(schema)
        if schema != "floor":
            self._make_words(table)

    def _make_seed(self, password_hash: str) -> None:
        """Adds the same people to the seed stack's own tables."""
        with self.connect() as db:
            db.execute("CREATE SCHEMA seed")
            engine = create_engine(self.seed_url)
            seed_stack.Base.metadata.create_all(engine)
            engine.dispose()
            db.execute(
                "INSERT INTO seed.users (id, email, hashed_password, role, is_active)"
                " SELECT id, email, %s, role, true FROM users ORDER BY id",
                [password_hash],
            )

    def _make_like_ours(self, schema: str) -> None:
        """Creates a table like ours, indexes and constraints included."""
        with self.connect() as db:
            db.execute(f"CREATE SCHEMA {schema}".encode())
            db.execute(f"CREATE TABLE {schema}.tasks (LIKE tasks INCLUDING ALL)".encode())
            db.execute(f"CREATE SEQUENCE {schema}.ids".encode())
            changes = (
                f"ALTER COLUMN id SET DEFAULT nextval('{schema}.ids')",
                "ADD FOREIGN KEY (owner_id) REFERENCES users ON DELETE CASCADE",
            )
            for change in changes:
                db.execute(f"ALTER TABLE {schema}.tasks {change}".encode())

    def _make_words(self, table: str) -> None:
        """For the rivals: search as PostgreSQL's manual shows it."""
        words = " || ".join(
            f"setweight(to_tsvector('simple', {column}), '{weight}')"
            for column, weight in (("title", "A"), ("description", "B"))
        )
        with self.connect() as db:
            db.execute(
                f"ALTER TABLE {table} ADD words tsvector"
                f" GENERATED ALWAYS AS ({words}) STORED".encode()
            )
            db.execute(f"CREATE INDEX ON {table} USING gin (words)".encode())

    def _add_tasks(self, table: str, owner_ids: Sequence[int], each: int) -> None:
        """One of each owner in turn, as in production; then updates the planner's statistics."""
        with self.connect() as db:
            if table == "tasks":  # the application takes the ids itself
                default = "nextval('tasks_id_seq')"
                db.execute(f"ALTER TABLE tasks ALTER COLUMN id SET DEFAULT {default}".encode())
            columns = "title, description, owner_id"
            if table != "seed.tasks":
                columns += ", status, completed_at, labels, label_keys, label_hashes"
            kinds = [
                "".join(_line(table, owner_id, kind) for owner_id in owner_ids)
                for kind in range(len(NAMES))
            ]
            with indexed_afterwards(db) if table == "tasks" else nullcontext():
                with db.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                    for number in range(each):
                        copy.write(kinds[number % len(kinds)])
                _settle(db, table)
            db.execute(f"VACUUM ANALYZE {table}".encode())

    def task_ids(self, table: str, owner_ids: Sequence[int]) -> dict[int, list[int]]:
        """By owner."""
        with self.connect() as db:
            rows = db.execute(
                f"SELECT owner_id, array_agg(id) FROM {table}"
                " WHERE owner_id = ANY(%s) GROUP BY owner_id".encode(),
                [list(owner_ids)],
            )
            return dict(rows)

    def doomed(self, table: str, owner_ids: Sequence[int], count: int) -> list[tuple[int, int]]:
        """Tasks made to be deleted: id and owner."""
        with self.connect() as db:
            rows = db.execute(
                f"INSERT INTO {table} (title, description, owner_id) SELECT %s, %s, owner"
                " FROM generate_series(1, %s), unnest(%s::bigint[]) AS owner"
                " RETURNING id, owner_id".encode(),
                [_TITLE, _DESCRIPTION.format("all"), count // len(owner_ids), list(owner_ids)],
            ).fetchall()
            _settle(db, table)
        random.shuffle(rows)
        return rows

    def newest(self, table: str) -> int:
        with self.connect() as db:
            row = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}".encode()).fetchone()
        return int(row[0]) if row else 0

    def delete_after(self, table: str, task_id: int) -> None:
        """Deletes newer tasks, so that every run begins with the same lists."""
        with self.connect() as db:
            db.execute(f"DELETE FROM {table} WHERE id > %s".encode(), [task_id])
            _settle(db, table)
            db.execute(f"VACUUM {table}".encode())

    def logged(self, owner_ids: Sequence[int], count: int) -> list[tuple[int, int, int]]:
        """Logs a change of `count` tasks of each owner: owner, epoch, the position before them."""
        with self.connect() as db:
            return db.execute(_LOG, {"owners": list(owner_ids), "count": count}).fetchall()

    def changed(
        self, table: str, owner_ids: Sequence[int], count: int
    ) -> list[tuple[int, str, int]]:
        """By owner, when and where the change was that `count` others followed."""
        with self.connect() as db:
            rows = db.execute(
                f"SELECT owner, updated_at, id FROM unnest(%s::bigint[]) AS owner, LATERAL"
                f" (SELECT updated_at, id FROM {table} WHERE owner_id = owner"
                " ORDER BY updated_at DESC, id DESC OFFSET %s LIMIT 1) AS last".encode(),
                [list(owner_ids), count],
            )
            return [(owner, at.astimezone(UTC).isoformat(), task) for owner, at, task in rows]

    def refresh_tokens(self, people: Sequence[Person], count: int) -> list[str]:
        """Of `count` new sessions."""
        return asyncio.run(self._refresh_tokens([p.id for p in people], count))

    async def _people(self, ids: Sequence[int], names: Sequence[str]) -> list[Person]:
        async with Connections(self.conninfo) as connections:
            store = PostgresStore(connections)
            tokens = JwtTokens(derived_key(SECRET_KEY.encode(), "access token"))
            people = []
            for user_id, name in zip(ids, names, strict=True):
                session, _ = await _opened(store, user_id)
                claims = AccessClaims(UserId(user_id), session.id)
                seeds = seed_stack.create_token(user_id, "access", _IDLE, SECRET_KEY)
                token = tokens.issue(claims, datetime.now(UTC))
                people.append(Person(user_id, name, token, seeds))
            return people

    async def _refresh_tokens(self, ids: Sequence[int], count: int) -> list[str]:
        async with Connections(self.conninfo) as connections:
            store = PostgresStore(connections)
            return [(await _opened(store, ids[n % len(ids)]))[1] for n in range(count)]


@contextmanager
def indexed_afterwards(db: psycopg.Connection) -> Iterator[None]:
    """Builds the indexes of our tasks when the rows are there, in a fraction of the time."""
    db.execute("SET maintenance_work_mem = '512MB'")
    indexes = db.execute(_INDEXES).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}".encode())
    yield
    for _, definition in indexes:
        db.execute(definition.encode())


_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()
AND tablename IN ('tasks', 'task_words') AND indexname NOT LIKE '%pkey'
"""


def _line(table: str, owner_id: int, kind: int) -> str:
    """A line of COPY. A tenth have a label, half of them are open; a quarter are done."""
    cells = [_TITLE, _DESCRIPTION.format(NAMES[kind]), str(owner_id)]
    if table != "seed.tasks":
        status = kind % len(Status)
        cells += [str(status), "now" if status == _DONE else _NULL]
        has_label = kind % 10 == 0
        cells += [f"{{{LABEL}}}"] * 2 if has_label else ["{}", _NULL]
        cells.append(f"{{{label_hash(LABEL)}}}" if has_label else _NULL)
    return "\t".join(cells) + "\n"


_NULL = "\\N"
_DONE = list(Status).index(Status.DONE)
# What the application stores beside its tasks; the last word of a description is a name.
_WORDS = " ".join(f"''%1$s:{word}'':1" for word in words_of(_DESCRIPTION))
_TITLE_WORDS = " ".join(f"''%1$s:{word}'':1A" for word in words_of(_TITLE))
_NAME = "substring(description from '([a-z]+)\\.$')"
_SETTLE = f"""
DELETE FROM task_words WHERE NOT EXISTS
    (SELECT FROM tasks WHERE (tasks.owner_id, id) = (task_words.owner_id, task_id));
INSERT INTO task_words (owner_id, task_id, words)
SELECT owner_id, id, format('{_WORDS} ''%1$s:%2$s'':1 {_TITLE_WORDS}', owner_id, {_NAME})::tsvector
FROM tasks
ON CONFLICT DO NOTHING;
INSERT INTO streams (owner_id, live) SELECT owner_id, count(*) FROM tasks GROUP BY owner_id
ON CONFLICT (owner_id) DO UPDATE SET live = excluded.live;
UPDATE totals SET tasks = CASE slot WHEN 0 THEN (SELECT count(*) FROM tasks) ELSE 0 END;
"""
_LOG = b"""
WITH moved AS (UPDATE streams SET head = head + %(count)s, oldest_at = coalesce(oldest_at, now()),
    log_bytes = log_bytes + 100 * %(count)s
    WHERE owner_id = ANY(%(owners)s) RETURNING owner_id, head - %(count)s AS head),
logged AS (INSERT INTO events (owner_id, position, type, object_id, version, at, changes)
    SELECT owner_id, head + n, 1, id, edition, now(), '{"title": ["Write", "Write the letter"]}'
    FROM moved, LATERAL (SELECT id, edition, row_number() OVER () AS n FROM
        (SELECT id, edition FROM tasks WHERE tasks.owner_id = moved.owner_id
        ORDER BY id LIMIT %(count)s) AS first) AS numbered)
SELECT owner_id, epoch, head FROM moved, epochs
"""


def _settle(db: psycopg.Connection, table: str) -> None:
    if table == "tasks":
        db.execute(_SETTLE.encode())


async def _opened(store: PostgresStore, user_id: int) -> tuple[Session, str]:
    """Opens a session as a login does, without the hashing."""
    tokens, now = OpaqueRefreshTokens((b"",)), datetime.now(UTC)
    session, token = Session.new(SessionId(uuid4()), UserId(user_id), now, _IDLE), tokens.new()
    async with store.autocommit() as db:
        kept = RefreshToken.new(session, tokens.digest(token), tokens.nonce())
        stored = await db.users.get_credentials(session.user_id)
        user = stored.user
        event = NewAuditEvent.by(Actor(user.id, user.role), AuditEventName.LOGIN_SUCCEEDED, now)
        await db.sessions.open(session, kept, of=stored, event=event)
    return session, token


async def _hashes() -> tuple[str, str]:
    async with Argon2Hasher() as hasher:
        ours = await hasher.hash(PASSWORD)
    return ours, bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode()
