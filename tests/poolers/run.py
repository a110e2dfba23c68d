"""The API through the PgBouncer of docs/deployment.md, while PostgreSQL goes away and comes back.

    python -m tests.poolers.run [--pooler off] [--defaults]

PgBouncer is Debian's, and only this needs it. Its configuration and the statements for the role are
those of the document but for addresses and the login. Clients use accounts of their own, and know
what each answer must be; what differs is counted. `--pooler off` and `--defaults`, without the
settings for outages, are what to compare with.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Self

import psycopg

from tests.debian import missing, say, working_folder
from tests.poolers import pgbouncer
from tests.postgres.servers import Server, server
from tests.processes import eventually
from tests.server.running import KEY, Answer, Api, Client, free_port, taskcli

CLIENTS = 8
STEADY, AWAY = 10, 3  # seconds
SLOWEST, BACK_WITHIN = 4.0, 2.0  # seconds: for any answer; until all is well after an outage


class Load:
    """Clients that work on tasks of their own accounts, and check what they are told."""

    def __init__(self, port: int, tokens: list[str]) -> None:
        self._port = port
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=[token]) for token in tokens]
        self.answers: list[tuple[float, float, str]] = []
        """When it came, after how many seconds, and what was wrong with it."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, token: str) -> None:
        with Client(self._port, token=token) as client:
            number = 0
            while not self._is_over.wait(0.01):
                number += 1
                title = f"{token[-8:]} {number}"
                made = self._ask(client, 201, title, "POST", "/tasks", {"title": title})
                if made is None or made.status != 201:
                    continue
                path, new = f"/tasks/{made.json['id']}", f"{title} edited"
                self._ask(client, 200, title, "GET", path)
                self._ask(client, 200, new, "PATCH", path, {"title": new})
                self._ask(client, 200, "", "GET", "/tasks?limit=5&q=edited")
                bulk = [{"op": "create", "task": {"title": title}}] * 3
                self._ask(client, 200, title, "POST", "/tasks/bulk", {"operations": bulk})
                self._ask(client, 204, "", "DELETE", path)

    def _ask(
        self, client: Client, status: int, text: str, method: str, path: str, body: object = None
    ) -> Answer | None:
        began, answer, wrong = time.monotonic(), None, ""
        with suppress(OSError, HTTPException):
            answer = client.call(method, f"/api/v1{path}", body)
        if answer is None:
            wrong = f"{method} no answer"
        elif answer.status != status:
            wrong = f"{method} {answer.status}"
        elif text.encode() not in answer.body:
            wrong = f"{method} of another"
        with self._lock:
            now = time.monotonic()
            self.answers.append((now, now - began, wrong))
        return answer


def told(load: Load, since: float, until: float) -> Counter[str]:
    wrong: Counter[str] = Counter()
    number = 0
    for at, _, what in load.answers:
        if since <= at < until:
            number += 1
            if what:
                wrong[what] += 1
    listed = ", ".join(f"{count} x {what}" for what, count in wrong.most_common())
    say(f"  {sum(wrong.values())} of {number} answers are not as expected {listed}")
    return wrong


def prepared(folder: Path, database: Server) -> None:
    """A database of a role that owns it, migrated by a direct connection, and its settings."""
    with psycopg.connect(database.conninfo, autocommit=True) as admin:
        admin.execute("CREATE ROLE taskcore LOGIN")
        admin.execute("CREATE DATABASE taskcore OWNER taskcore")
    host = database.conninfo.rpartition("host=")[2]
    url = f"postgresql://taskcore@/taskcore?host={host}"
    done = taskcli(folder, "db", "upgrade", DATABASE_URL=url, SECRET_KEY=KEY)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database.conninfo, autocommit=True) as admin:
        admin.execute(pgbouncer.role_settings())


def refuses(folder: Path, env: dict[str, str]) -> bool:
    """Whether what cannot work through a pooler says so, and the doctor finds nothing wrong."""
    for command in (["db", "upgrade"], ["backup", "x.zip"]):
        done = taskcli(folder, *command, **env)
        if done.returncode != 78 or "DATABASE_POOLER=off" not in done.stderr:
            say(f"{command}: {done.returncode} {done.stderr}")
            return False
    done = taskcli(folder, "doctor", **env)
    if done.returncode:
        say(done.stdout + done.stderr)
    return done.returncode == 0


def tried(folder: Path, database: Server, env: dict[str, str], *, checks: bool) -> bool:
    with Api(folder, WORKERS="2", RATE_LIMITS="off", **env) as api:
        api.ready()
        tokens = [api.register() for _ in range(CLIENTS)]
        with Load(api.port, tokens) as load:
            began = time.monotonic()
            time.sleep(STEADY)
            gone = time.monotonic()
            say(f"{STEADY} s without a fault, {CLIENTS} clients:")
            steady = told(load, began, gone)
            database.kill()
            time.sleep(AWAY)
            database.start()
            back = time.monotonic()
            time.sleep(STEADY + 5)
        over = time.monotonic()
        say(f"PostgreSQL killed, and started {AWAY} s later:")
        outage = told(load, gone, over)
    bad = [at for at, _, wrong in load.answers if wrong and at > back]
    healed = max(bad, default=back) - back
    slowest = max(took for _, took, _ in load.answers)
    say(f"  the last of them {healed:.2f} s after it was back; the slowest took {slowest:.2f} s")
    never = [what for what in outage if what.endswith(("500", "502", "another"))]
    well = not steady and not never and healed < BACK_WITHIN and slowest < SLOWEST
    return well or not checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pooler", default="on", help="DATABASE_POOLER")
    parser.add_argument("--defaults", action="store_true", help="no settings for outages")
    args = parser.parse_args()
    if refusal := missing({pgbouncer.PROGRAM: "pgbouncer"}):
        say(refusal)
        return 1
    port = free_port()
    env = {
        "DATABASE_URL": f"postgresql://taskcore@127.0.0.1:{port}/taskcore",
        "DATABASE_POOLER": args.pooler,
        "SECRET_KEY": KEY,
    }
    with tempfile.TemporaryDirectory() as name, server() as database, working_folder() as place:
        folder = Path(name)
        prepared(folder, database)
        pgbouncer.start(
            place,
            port,
            f"host={database.conninfo.rpartition('host=')[2]}",
            more="ignore_startup_parameters = extra_float_digits,options\n",
            outages=not args.defaults,
        )
        checks = args.pooler == "on" and not args.defaults
        assert eventually(lambda: answers(env["DATABASE_URL"]), within=60), place.log("pgbouncer")
        if checks and not refuses(folder, env):
            return 1
        return 0 if tried(folder, database, env, checks=checks) else 1


def answers(url: str) -> bool:
    with suppress(psycopg.Error), psycopg.connect(url):
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
