"""The point in time before a mistake, with pgBackRest as docs/deployment.md has it.

On Debian's PostgreSQL 15: Debian's pgBackRest does not know later ones.
"""

import shlex
import signal
import time
from typing import Any

import psycopg

from tests.debian import Folder, documented, own, say, signalled, working_folder
from tests.ha.writing import Row, Writers
from tests.processes import eventually
from tests.server.running import KEY, Api, taskcli

_SECTION = "A point in time"
_PROGRAMS = "/usr/lib/postgresql/15/bin"
_WRITING = 3.0  # seconds, each time


class _Database:
    """One PostgreSQL that archives its log, and its pgBackRest."""

    def __init__(self, folder: Folder, port: int) -> None:
        self._folder, self._port = folder, port
        self._data = folder.path / "pg"
        self.url = f"postgresql://postgres@/postgres?host={folder.path}&port={port}"
        folder.run(f"{_PROGRAMS}/initdb", "-U", "postgres", "-A", "trust", "-D", self._data)
        for name in ("repository", "log", "lock", "spool"):
            (folder.path / name).mkdir()
            own(folder.path / name)
        text = documented("ini", _SECTION)
        text = text.replace("/var/lib/postgresql/15/main", str(self._data))
        text = text.replace("/var/lib/pgbackrest", str(folder.path / "repository"))
        text += f"pg1-port={port}\npg1-socket-path={folder.path}\n[global]\n"
        text += "".join(f"{name}-path={folder.path}/{name}\n" for name in ("log", "lock", "spool"))
        config = folder.write("pgbackrest.conf", text)
        self._env = {"PGBACKREST_CONFIG": str(config)}
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(documented("conf", _SECTION))

    def start(self) -> None:
        options = ("-p", str(self._port), "-k", str(self._folder.path), "-h", "")
        program = f"{_PROGRAMS}/postgres"
        self._process = self._folder.start("pg", program, "-D", self._data, *options, env=self._env)
        assert eventually(self._takes_writes, within=60), self._folder.log("pg")

    def stop(self) -> None:
        signalled(signal.SIGINT, [self._process.pid])
        self._process.wait(30)

    def _takes_writes(self) -> bool:
        try:
            return self.ask("SELECT pg_is_in_recovery()") == [(False,)]
        except psycopg.Error:
            return False

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return list(connection.execute(statement.encode()))

    def commands(self, number: int, moment: str = "") -> None:
        """Those of pgBackRest in a block of the document."""
        for line in documented("sh", _SECTION, number).splitlines():
            command = shlex.split(line.replace("MOMENT", moment), comments=True)
            if command[:1] == ["pgbackrest"]:
                self._folder.run(*command, env=self._env)


def recovered(port: int) -> bool:
    """Whether the rows of before a mistaken DELETE are there again, exactly those."""
    with working_folder() as folder:
        database = _Database(folder, port)
        database.start()
        env = {"DATABASE_URL": database.url, "SECRET_KEY": KEY}
        done = taskcli(folder.path, "db", "upgrade", **env)
        assert done.returncode == 0, done.stderr
        with Api(folder.path / "api", **env) as api:
            token = api.ready().register()
            with Writers([api]) as before:
                time.sleep(_WRITING)
                database.commands(0)
                time.sleep(_WRITING)
            ((moment, count),) = database.ask("SELECT clock_timestamp()::text, count(*) FROM tasks")
            cursor = api.call("GET", "/api/v1/changes", token=token).json["cursor"]
            ((removed,),) = database.ask(
                "WITH gone AS (DELETE FROM tasks WHERE id % 2 = 0 RETURNING 1)"
                " SELECT count(*) FROM gone"
            )
            with Writers([api]) as after:
                time.sleep(_WRITING)
            began = time.monotonic()
            database.stop()
            database.commands(1, moment)
            database.start()
            took = time.monotonic() - began
            rows = [Row(*each) for each in database.ask("SELECT id, title FROM tasks")]
            for line in documented("sql", _SECTION).splitlines():
                database.ask(line + " RETURNING 1")
            goes_on = eventually(api.is_ready, within=10)
            gone = api.call("GET", f"/api/v1/changes?cursor={cursor}", token=token)
        verdict = before.verdict(rows)
    say("a mistaken DELETE, and the point in time before it:")
    say(f"  {count} tasks were there, {removed} were deleted, {len(rows)} are there again")
    say(f"  {len(after.acknowledged)} created since then are gone, as they must be")
    say(f"  stop, restore and start took {took:.1f} s; cursors of before end with {gone.status}")
    exact = len(rows) == count == len(before.acknowledged) and not verdict.lost
    return exact and removed > 0 and goes_on and gone.status == 410
