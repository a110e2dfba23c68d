"""The API on the Patroni cluster of docs/deployment.md, whose parts are killed, frozen, switched.

    python -m tests.ha.run [--port 18600] [--rounds 1] [kill] [crash] [switchover] ...

Three PostgreSQL servers, etcd and HAProxy on loopback, and three `taskcli serve`: one reaches the
database through HAProxy, one by naming the three, and one through PgBouncer before HAProxy.
Meanwhile clients create tasks with an `Idempotency-Key`, and retry until each is acknowledged. None
may be lost or there twice, and all goes on by itself. `control` replicates asynchronously, and must
lose some: so the count can fail. `recovery` is another thing: the point in time before a mistake,
with pgBackRest.

Debian's packages are installed where this runs as root.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg

from tests.debian import Folder, missing, say, working_folder
from tests.ha.cluster import Cluster, Node
from tests.ha.programs import PACKAGES, patroni
from tests.ha.recovery import recovered
from tests.ha.writing import Row, Verdict, Writers
from tests.poolers import pgbouncer
from tests.processes import eventually
from tests.server.running import KEY, Api, taskcli

STEADY, AFTER = 3.0, 4.0  # seconds of writing before a fault, and after the cluster is whole again
SLOWEST = 4.5  # seconds, for any answer
TTL = 20.0  # seconds: the document's


def kill(cluster: Cluster) -> None:
    killed = cluster.primary()
    killed.kill_postmaster()
    cluster.wait_for_another(killed)


def crash(cluster: Cluster) -> None:
    killed = cluster.primary()
    killed.kill_postgres()
    cluster.wait_for_another(killed)


def machine(cluster: Cluster) -> None:
    lost = cluster.primary()
    lost.kill()
    cluster.wait_for_another(lost)
    lost.start()


def switchover(cluster: Cluster) -> None:
    cluster.switch_over()


def freeze(cluster: Cluster) -> None:
    frozen = cluster.primary()
    with frozen.frozen(patroni=True):
        cluster.wait_for_another(frozen)
        time.sleep(3)


def hang(cluster: Cluster) -> None:
    frozen = cluster.primary()
    with frozen.frozen(patroni=False):
        cluster.wait_for_another(frozen)
        time.sleep(3)


def etcd(cluster: Cluster) -> None:
    cluster.kill_etcd()
    time.sleep(TTL + 5)
    cluster.start_etcd()


def stall(cluster: Cluster) -> None:
    """Replication stands still, so that commits are on the primary alone, which then dies."""
    primary = cluster.primary()
    senders = primary.backends("walsender")
    assert len(senders) == 2
    primary.suspend(senders)
    time.sleep(2)
    primary.kill_postgres()
    cluster.wait_for_another(primary)


@dataclass(frozen=True)
class Fault:
    happens: Callable[[Cluster], None]
    gap: float
    """Seconds without a success, at most."""
    title: str


FAULTS = {
    "kill": Fault(kill, 5, "kill -9 of the primary's postmaster"),
    "crash": Fault(crash, 5, "kill -9 of all processes of the primary's PostgreSQL"),
    "switchover": Fault(switchover, 6, "a switchover"),
    "stall": Fault(stall, 8, "no replication for 2 s, then kill -9 of the primary's PostgreSQL"),
    "etcd": Fault(etcd, 2, "etcd gone for 25 s"),
    "machine": Fault(machine, TTL + 8, "kill -9 of the primary's PostgreSQL and Patroni"),
    "freeze": Fault(freeze, TTL + 8, "SIGSTOP of the primary's PostgreSQL and Patroni"),
    "hang": Fault(hang, TTL + 8, "SIGSTOP of the primary's PostgreSQL alone"),
}


@contextmanager
def serving(folder: Folder, cluster: Cluster) -> Iterator[dict[str, Api]]:
    """A server for each way to reach the database, on an empty database."""
    with cluster.primary().connect() as admin:
        admin.execute("CREATE ROLE taskcore LOGIN PASSWORD 'PASSWORD'")
        admin.execute("CREATE DATABASE taskcore OWNER taskcore")
    ways = cluster.ways()
    done = taskcli(folder.path, "db", "upgrade", **ways["HAProxy"], SECRET_KEY=KEY)
    assert done.returncode == 0, done.stderr
    with cluster.primary().connect("taskcore") as admin:
        admin.execute(pgbouncer.role_settings())
    cluster.start_pooler()
    with ExitStack() as stack:
        apis = {
            how: stack.enter_context(Api(folder.path / f"api{number}", SECRET_KEY=KEY, **settings))
            for number, (how, settings) in enumerate(ways.items())
        }
        for api in apis.values():
            api.ready()
        yield apis


def rows(node: Node) -> list[Row]:
    with node.connect("taskcore") as connection:
        return [Row(*each) for each in connection.execute("SELECT id, title FROM tasks")]


def totals_are_right(node: Node) -> bool:
    """Whether each account's number of tasks, and their log, agree with its tasks."""
    with node.connect("taskcore") as connection:
        wrong = connection.execute(
            "SELECT count(*) FROM streams WHERE"
            " live <> (SELECT count(*) FROM tasks WHERE tasks.owner_id = streams.owner_id)"
            " OR live <> (SELECT count(*) FROM events WHERE events.owner_id = streams.owner_id)"
        ).fetchone()
    return wrong == (0,)


def are_alike(cluster: Cluster) -> bool:
    """Whether all have the same rows."""
    try:
        first, *others = (set(rows(node)) for node in cluster.nodes)
    except psycopg.Error:
        return False
    return all(each == first for each in others)


def tried(cluster: Cluster, apis: dict[str, Api], fault: Fault) -> tuple[Verdict, bool]:
    """What the count says, and whether all else is well."""
    before = {how: api.process.pid for how, api in apis.items()}
    with Writers(list(apis.values())) as writers:
        time.sleep(STEADY)
        began = time.monotonic()
        fault.happens(cluster)
        cluster.wait_until_whole()
        whole = time.monotonic() - began
        time.sleep(AFTER)
    primary = cluster.primary()
    verdict = writers.verdict(rows(primary))
    gap, *each = writers.gaps(len(apis))
    told = ", ".join(f"{number} x {what}" for what, number in writers.failures.most_common())
    say(f"{fault.title}:")
    say(f"  {verdict.lost} lost, {verdict.doubled} doubled of {verdict.acknowledged} acknowledged")
    ways = ", ".join(f"{seconds:.1f} s by {how}" for how, seconds in zip(apis, each, strict=True))
    say(f"  longest without a success {gap:.1f} s ({ways}); whole after {whole:.0f} s")
    say(f"  retries that found their work done: {verdict.replays}; failures: {told or 'none'}")
    say(f"  the slowest answer took {writers.slowest:.1f} s")
    well = {
        "a gap too long": max(gap, *each) <= fault.gap,
        "unexpected answers": not unexpected(writers),
        "an answer too slow": writers.slowest <= SLOWEST,
        "unfinished creates": not writers.unfinished,
        "tasks that no client knows": not verdict.unknown,
        "wrong totals or log": totals_are_right(primary),
        "nodes that differ": eventually(lambda: are_alike(cluster), within=20),
        "servers that ended": before == {how: api.process.pid for how, api in apis.items()}
        and not any(api.ended() for api in apis.values()),
    }
    for what, is_well in well.items():
        if not is_well:
            say(f"  WRONG: {what}")
    return verdict, all(well.values())


def unexpected(writers: Writers) -> list[str]:
    """A server refuses with a reason; it neither fails nor hangs up."""
    return [what for what in writers.failures if not what.startswith(("503 ", "409 "))]


@contextmanager
def running(
    command: Sequence[str], port: int, *, is_async: bool
) -> Iterator[tuple[Cluster, dict[str, Api]]]:
    with working_folder() as folder:
        cluster = Cluster(folder, list(command), port, is_async=is_async)
        began = time.monotonic()
        cluster.start()
        say(f"three nodes, etcd and HAProxy started in {time.monotonic() - began:.0f} s")
        with serving(folder, cluster) as apis:
            yield cluster, apis


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*FAULTS, "control", "recovery"]
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(names))
    parser.add_argument("--port", type=int, default=18600, help="the first of forty")
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault happens")
    args = parser.parse_args()
    if unknown := set(args.scenarios) - set(names):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    wanted = args.scenarios or names
    if refusal := missing(PACKAGES):
        say(refusal)
        return 1
    began = time.monotonic()
    results: list[bool] = []
    faults = [FAULTS[name] for name in wanted if name in FAULTS]
    with working_folder() as folder:
        command = patroni(folder.path / "patroni") if wanted != ["recovery"] else []
        if faults:
            with running(command, args.port, is_async=False) as (cluster, apis):
                for fault in faults * args.rounds:
                    verdict, is_well = tried(cluster, apis, fault)
                    results.append(is_well and not verdict.lost and not verdict.doubled)
        if "control" in wanted:
            say("control, with asynchronous replication:")
            with running(command, args.port, is_async=True) as (cluster, apis):
                verdict, _ = tried(cluster, apis, FAULTS["stall"])
                results.append(verdict.lost > 0)
    if "recovery" in wanted:
        results.append(recovered(args.port))
    say(f"{sum(results)} of {len(results)} as expected, in {time.monotonic() - began:.0f} s")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
