"""What `taskcli doctor` says of several hosts in DATABASE_URL, and of standbys."""

import asyncio
import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.cli.conftest import KEY, Taskcli
from tests.conftest import until
from tests.postgres.servers import Server, replicated

ALONE = "SELECT NOT EXISTS (SELECT FROM pg_stat_replication)"
IN_SYNC = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')"


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    with replicated() as servers:
        yield servers


def told(taskcli: Taskcli) -> tuple[int, dict[str, dict[str, object]]]:
    done = taskcli("doctor", "--json")
    return done.code, {check["name"]: check for check in json.loads(done.out)["checks"]}


def executed(server: Server, statement: str) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute(statement.encode())


def asked(server: Server, question: str) -> object:
    with psycopg.connect(server.conninfo) as admin:
        ((answer,),) = admin.execute(question.encode()).fetchall()
        return answer


def test_two_primaries_are_a_problem_and_a_standby_is_none(
    taskcli: Taskcli, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    both = f"{first.conninfo},{second._folder}"
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", both)
    code, found = told(taskcli)
    assert (code, "primary" in found) == (0, False)

    executed(second, "SELECT pg_promote()")
    code, found = told(taskcli)
    assert (code, found["primary"]["ok"]) == (1, False)
    assert f"{first._folder}:5432 (timeline 1), {second._folder}:5432 (timeline 2)" in str(
        found["primary"]["detail"]
    )
    assert "stop the old one" in str(found["primary"]["advice"])

    # Two names of one server, as of two proxies.
    another = second._folder.parent / "another"
    another.symlink_to(second._folder)
    monkeypatch.setenv("DATABASE_URL", f"{second.conninfo},{another}")
    assert "primary" not in told(taskcli)[1]

    first.stop()
    monkeypatch.setenv("DATABASE_URL", both)
    code, found = told(taskcli)
    assert (code, "primary" in found) == (0, False)


def test_a_commit_that_waits_for_a_standby_that_is_away_is_warned_of(
    taskcli: Taskcli, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = pair
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", primary.conninfo)
    executed(primary, "CREATE ROLE app LOGIN")
    for kind in ("TABLES", "SEQUENCES"):
        executed(primary, f"GRANT ALL ON ALL {kind} IN SCHEMA public TO app")
    executed(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    executed(primary, "SELECT pg_reload_conf()")
    asyncio.run(until(lambda: asked(primary, IN_SYNC)))
    for user in ("postgres", "app"):  # which does not see the state of a standby
        monkeypatch.setenv("DATABASE_URL", primary.conninfo.replace("postgres@", f"{user}@"))
        code, found = told(taskcli)
        assert (code, "standby" in found) == (0, False)
    standby.stop()
    asyncio.run(until(lambda: asked(primary, ALONE)))
    code, found = told(taskcli)
    assert (code, found["standby"]["warning"]) == (0, True)
    assert "synchronous_standby_names" in str(found["standby"]["advice"])
