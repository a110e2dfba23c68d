"""The servers that are compared, and how each starts."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from benchmarks import floor, seed_stack
from benchmarks.data import SECRET_KEY, Database, Person
from benchmarks.rows import WORKLOADS
from taskapi.paths import PREFIX
from taskcore.adapters.keys import derived_key

OURS_PORT = 8103
# `make bench` sets an environment without the other contestants' libraries, some of which our
# framework would import if they were installed.
SERVED_BY = os.environ.get("SERVED_BY", sys.executable)
_STARTS_WITHIN = 30.0
RIVALS = Path(sys.prefix) / "rivals"  # what they are made of; see rivals.py
_TASKS = frozenset({"get", "list", "create", "edit", "delete", "mix"})


@dataclass(frozen=True, eq=False)
class Contestant:
    name: str
    port: int
    table: str
    """Of its tasks."""
    prefix: str
    command: Sequence[str]
    environment: Callable[[Database], dict[str, str]]
    token: Callable[[Person], str]
    can: frozenset[str]
    """Its workloads."""

    def path(self, person: Person) -> str:
        """Of the tasks of this person."""
        return f"{self.prefix}/tasks" + (f"?owner_id={person.id}" if self is FLOOR else "")


FLOOR = Contestant(
    name="floor",
    port=floor.PORT,
    table="floor.tasks",
    prefix="",
    command=[sys.executable, "-m", "benchmarks.floor"],
    environment=lambda database: {"BENCH_DATABASE": database.conninfo},
    token=lambda _: "",
    can=_TASKS,
)
SEED = Contestant(
    name="seed stack",
    port=seed_stack.PORT,
    table="seed.tasks",
    prefix="/api/v1",
    command=[sys.executable, "-m", "benchmarks.seed_stack"],
    environment=lambda database: {
        "BENCH_DATABASE_URL": database.seed_url,
        "SECRET_KEY": SECRET_KEY,
    },
    token=lambda person: person.seed_token,
    can=_TASKS | {"log in", "refresh"},
)
# As shipped, with limits and logs. Logins come from many addresses, as in production.
OURS = Contestant(
    name="ours",
    port=OURS_PORT,
    table="tasks",
    prefix=PREFIX,
    command=[SERVED_BY, "-m", "taskcli", "serve"],
    environment=lambda database: {
        "DATABASE_URL": database.url,
        "SECRET_KEY": SECRET_KEY,
        "TRUSTED_PROXIES": "127.0.0.1",
    },
    token=lambda person: person.token,
    can=frozenset(WORKLOADS),
)


def _rival(name: str, port: int, *command: str) -> Contestant:
    schema = name.lower()

    def environment(database: Database) -> dict[str, str]:
        """Both drivers read the variables of libpq."""
        parts = conninfo_to_dict(database.conninfo)
        return {
            "PGHOST": str(parts["host"]),
            "PGPORT": str(parts.get("port", 5432)),
            "PGUSER": str(parts["user"]),
            "PGDATABASE": str(parts["dbname"]),
            "BENCH_SCHEMA": schema,
            "BENCH_TOKEN_KEY": derived_key(SECRET_KEY.encode(), "access token").hex(),
        }

    return Contestant(
        name,
        port,
        f"{schema}.tasks",
        PREFIX,
        command,
        environment,
        token=lambda person: person.token,
        can=_TASKS | {"filter", "search", "changes"},
    )


FASTIFY = _rival("Fastify", 8104, "node", str(RIVALS / "fastify/server.mjs"))
GO = _rival("Go", 8105, str(RIVALS / "go-tasks"))
PYTHON = (FLOOR, SEED, OURS)


@contextmanager
def serving(contestant: Contestant, database: Database, folder: Path) -> Iterator[int]:
    """The id of its process, which serves by now. Its output goes to a file, as in production."""
    log = folder / f"{contestant.name}.log"
    port = {"SERVER_PORT": str(contestant.port)}
    environment = os.environ | port | contestant.environment(database)
    with (
        log.open("ab") as output,
        subprocess.Popen(
            contestant.command, env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            _await(contestant.port, process, log)
            yield process.pid
        finally:
            process.terminate()


def _await(port: int, process: "subprocess.Popen[Any]", log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{log.stem} does not serve; see {log}")
