"""One of two servers is killed: clients send what was not answered to the other one."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.processes import eventually
from tests.server.load import Exchange, Load, create_task, stored_tasks
from tests.server.running import Answer, Api, Client, suspended

CLIENTS = 4
ROUNDS = 4
FIRST = "The first task, which opens the account"
BULK, TASKS = "/api/v1/tasks/bulk", "/api/v1/tasks"


def create_once(client: Client, title: str) -> Answer:
    """One task, or two in a bulk for every third title; the title is the key."""
    headers = {"Idempotency-Key": title}
    if int(title.rpartition("-")[2]) % 3:
        return client.call("POST", TASKS, {"title": title}, headers=headers)
    operations = [{"op": "create", "task": {"title": title + part}} for part in ("", " too")]
    return client.call("POST", BULK, {"operations": operations}, headers=headers)


def kill(api: Api) -> None:
    """The server and its workers, at the same moment."""
    processes = {api.process.pid, *api.workers}
    with suspended(processes):
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
    api.process.wait()


@contextmanager
def database(api: Api) -> Iterator[psycopg.Connection]:
    host = f"{api.data_dir}/postgres/run"
    with psycopg.connect(
        host=host, dbname="taskcore", user="postgres", autocommit=True
    ) as connection:
        yield connection


def waits(connection: psycopg.Connection, event: str, count: int) -> bool:
    """Whether so many connections wait for that."""
    query = "SELECT FROM pg_stat_activity WHERE wait_event = %s"
    return len(connection.execute(query, [event]).fetchall()) >= count


@contextmanager
def held_at_work(api: Api) -> Iterator[None]:
    """In this block writes have been sent, and wait for their accounts."""
    with database(api) as connection, connection.transaction():
        connection.execute("SELECT FROM streams FOR UPDATE")
        assert eventually(lambda: waits(connection, "transactionid", 2), within=10)
        yield


@contextmanager
def held_at_commit(api: Api) -> Iterator[None]:
    """In this block writes are committed, and wait for a replica that is not there."""
    with database(api) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'none'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            assert eventually(lambda: waits(connection, "SyncRep", 2), within=10)
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")


def same(answer: Answer, other: Answer) -> bool:
    return (answer.status, answer.body, told(answer)) == (other.status, other.body, told(other))


def told(answer: Answer) -> Mapping[str, str | None]:
    return {name: answer.headers.get(name) for name in ("location", "etag", "content-type")}


def retried(api: Api, token: str, exchanges: list[Exchange]) -> int:
    """Send each request once more, and again. Returns how many unanswered ones had been done."""
    done = 0
    with api.client(token=token) as client:
        for exchange in exchanges:
            first = create_once(client, exchange.title)
            again = create_once(client, exchange.title)
            assert first.status in {200, 201}, first
            assert same(again, first)
            assert again.headers["idempotency-replayed"] == "true"
            replayed = "idempotency-replayed" in first.headers
            if exchange.answer and exchange.status < 500:
                assert same(first, exchange.answer)
                assert replayed
            else:
                done += replayed
    return done


def expected(exchanges: list[Exchange]) -> Counter[str]:
    """Each task, once."""
    titles = [exchange.title for exchange in exchanges]
    bulks = [title for title in titles if not int(title.rpartition("-")[2]) % 3]
    return Counter(titles + [f"{title} too" for title in bulks])


def stored(api: Api, token: str) -> Counter[str]:
    return Counter(title for _, title in stored_tasks(api, token))


@pytest.mark.parametrize(
    ("held", "is_done"),
    [(held_at_commit, True), pytest.param(held_at_work, False, marks=pytest.mark.long)],
)
def test_what_is_sent_again_to_the_other_server_is_done_once(
    folder: Path, held: Callable[[Api], AbstractContextManager[None]], *, is_done: bool
) -> None:
    """With keys. The control without them stores tasks twice."""
    with Api(folder) as survivor, Api(folder) as victim:
        victim.ready()
        token, other = survivor.ready().register(), survivor.register()
        for each in (token, other):
            survivor.call("POST", TASKS, {"title": FIRST}, token=each)
        with (
            Load(victim, token, create_once, threads=CLIENTS) as load,
            Load(victim, other, create_task, threads=CLIENTS) as control,
        ):
            assert eventually(lambda: min(map(len, (load.exchanges, control.exchanges))), within=20)
            with held(victim):
                kill(victim)
        assert (retried(survivor, token, load.exchanges) > 0) is is_done
        assert stored(survivor, token) == expected(load.exchanges) + Counter([FIRST])
        with survivor.client(token=other) as client:
            for exchange in control.exchanges:
                if exchange.answer is None:
                    assert create_task(client, exchange.title).status == 201
        assert max(stored(survivor, other).values()) == 2


@pytest.mark.long
def test_it_is_done_once_at_whatever_moment_a_server_is_killed(folder: Path) -> None:
    with Api(folder) as survivor:
        token = survivor.ready().register()
        expecting = Counter[str]()
        for number in range(ROUNDS):
            with Api(folder) as victim:
                victim.ready()
                request = partial(prefixed, f"{number}-")
                with Load(victim, token, request, threads=CLIENTS) as load:
                    assert eventually(lambda: len(load.exchanges) > 3 * CLIENTS, within=20)
                    kill(victim)
                exchanges = [replace(e, title=f"{number}-{e.title}") for e in load.exchanges]
                retried(survivor, token, exchanges)
                expecting += expected(exchanges)
        assert stored(survivor, token) == expecting


def prefixed(prefix: str, client: Client, title: str) -> Answer:
    return create_once(client, prefix + title)
