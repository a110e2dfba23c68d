"""What the contestants work on: the same people and tasks for each, written by COPY."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import bcrypt
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine

from benchmarks import seed_stack
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.adapters.jwt import JwtTokens
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.system import OpaqueRefreshTokens, derived_key
from taskcore.domain.audit import EventName, NewEvent
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims

SECRET_KEY = secrets.token_urlsafe(32)
PASSWORD = "correct horse battery"  # noqa: S105 - of people who exist in a benchmark alone
TASKS_EACH = 100
_TITLE = "Write the letter"
_DESCRIPTION = "Two pages, by hand, and then to the post office before it closes."
_BCRYPT_ROUNDS = 12  # as the seed has it
_IDLE = timedelta(days=7)


@dataclass(frozen=True)
class Person:
    """The same one in both worlds, with a token for each."""

    id: int
    email: str
    token: str
    seed_token: str


@dataclass(frozen=True)
class People:
    owners: Sequence[Person]
    """Those with tasks."""
    logging_in: Sequence[Person]
    """Others, because a login ends the oldest of one's sessions when there are many."""
    admin: Person


@dataclass(frozen=True)
class Database:
    conninfo: str

    @property
    def url(self) -> str:
        given = conninfo_to_dict(self.conninfo)
        known = {name: given[name] for name in ("host", "port", "options") if given.get(name)}
        query = "&".join(f"{name}={quote(str(value))}" for name, value in known.items())
        return f"postgresql://{given['user']}@/{given['dbname']}?{query}"

    @property
    def seed_url(self) -> str:
        """For SQLAlchemy, where the seed stack's tables are."""
        url = self.url.replace("postgresql:", "postgresql+psycopg:")
        return f"{url}&options=-csearch_path%3Dseed"

    def in_schema(self, schema: str) -> "Database":
        """Another place in the same database; its tables are still to be made."""
        with self.connect() as db:
            db.execute(f"CREATE SCHEMA {schema}".encode())
        there = make_conninfo(self.conninfo, options=f"-c search_path={schema}")
        return Database(there)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo, autocommit=True)

    def fill(self, owners: int, *, each: int = TASKS_EACH, with_others: bool = True) -> People:
        """So many people with so many tasks each, and the others; for all contestants."""
        ours, theirs = asyncio.run(_hashes())
        # So many that nobody has many sessions, whose eldest a login would have to end.
        others = 10 * owners if with_others else owners
        names = [f"person{number}@example.org" for number in range(owners + others + 1)]
        with self.connect() as db:
            users = "(email, email_key, hashed_password, role)"
            with db.cursor().copy(f"COPY users {users} FROM STDIN") as copy:
                for name in names:
                    copy.write_row((name, name, ours, "admin" if name is names[-1] else "user"))
            ids = [row[0] for row in db.execute("SELECT id FROM users ORDER BY id")]
        people = asyncio.run(self._people(ids, names))
        found = People(people[:owners], people[owners:-1], people[-1])
        owner_ids = [person.id for person in found.owners]
        self._add_tasks("tasks", owner_ids, each)
        if with_others:
            self._make_seed(theirs)
            self._make_floor()
            for table in ("seed.tasks", "floor.tasks"):
                self._add_tasks(table, owner_ids, each)
        return found

    def _make_seed(self, password_hash: str) -> None:
        """The same people in the seed stack's own tables."""
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

    def _make_floor(self) -> None:
        """Our table, indexes and rules included, without the triggers that count its rows."""
        with self.connect() as db:
            db.execute("CREATE SCHEMA floor")
            db.execute("CREATE TABLE floor.tasks (LIKE tasks INCLUDING ALL)")
            db.execute(
                "ALTER TABLE floor.tasks ADD FOREIGN KEY (owner_id) REFERENCES users"
                " ON DELETE CASCADE"
            )

    def _add_tasks(self, table: str, owner_ids: Sequence[int], each: int) -> None:
        """To everybody in turn, as they would come; then the planner's numbers are made new."""
        with self.connect() as db:
            statement = f"COPY {table} (title, description, owner_id) FROM STDIN"
            with db.cursor().copy(statement.encode()) as copy:
                rows = [f"{_TITLE}\t{_DESCRIPTION}\t{owner_id}\n" for owner_id in owner_ids]
                everybodys = "".join(rows)
                for _ in range(each):
                    copy.write(everybodys)
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
                [_TITLE, _DESCRIPTION, count // len(owner_ids), list(owner_ids)],
            ).fetchall()
        random.shuffle(rows)
        return rows

    def newest(self, table: str) -> int:
        with self.connect() as db:
            row = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}".encode()).fetchone()
        return int(row[0]) if row else 0

    def forget_after(self, table: str, task_id: int) -> None:
        """So that every run begins with the same lists."""
        with self.connect() as db:
            db.execute(f"DELETE FROM {table} WHERE id > %s".encode(), [task_id])
            db.execute(f"VACUUM {table}".encode())

    def refresh_tokens(self, people: Sequence[Person], count: int) -> list[str]:
        """Of so many new sessions."""
        return asyncio.run(self._refresh_tokens([p.id for p in people], count))

    async def _people(self, ids: Sequence[int], names: Sequence[str]) -> list[Person]:
        async with Connections(self.conninfo) as connections:
            store = PostgresStore(connections)
            tokens = JwtTokens(derived_key(SECRET_KEY.encode(), "access token"))
            found = []
            for user_id, name in zip(ids, names, strict=True):
                session, _ = await _opened(store, user_id)
                claims = AccessClaims(UserId(user_id), session.id)
                seeds = seed_stack.create_token(user_id, "access", _IDLE, SECRET_KEY)
                token = tokens.issue(claims, datetime.now(UTC))
                found.append(Person(user_id, name, token, seeds))
            return found

    async def _refresh_tokens(self, ids: Sequence[int], count: int) -> list[str]:
        async with Connections(self.conninfo) as connections:
            store = PostgresStore(connections)
            return [(await _opened(store, ids[n % len(ids)]))[1] for n in range(count)]


async def _opened(store: PostgresStore, user_id: int) -> tuple[Session, str]:
    """A session as a login opens it, without the hashing."""
    tokens, now = OpaqueRefreshTokens((b"",)), datetime.now(UTC)
    session, token = Session.new(SessionId(uuid4()), UserId(user_id), now, _IDLE), tokens.new()
    async with store.autocommit() as db:
        kept = RefreshToken.new(session, tokens.digest(token), tokens.nonce())
        user = await db.users.get(session.user_id)
        event = NewEvent.by(Actor(user.id, user.role), EventName.LOGIN_SUCCEEDED, now)
        await db.sessions.open(session, kept, of=user, event=event)
    return session, token


async def _hashes() -> tuple[str, str]:
    async with Argon2Hasher() as hasher:
        ours = await hasher.hash(PASSWORD)
    return ours, bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode()
