"""What `taskcli doctor` says of the replica of DATABASE_READ_URL."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from taskcli.doctor_findings import Finding
from taskcli.doctor_warnings import COMMANDS
from taskcli.exits import CONFIGURATION
from taskcli.signals import run
from taskcore import Misconfigured, NotMigrated, Settings, Unavailable

if TYPE_CHECKING:
    from taskcore.wiring import Following

_MEANWHILE = "; servers ask the database instead"


def replica(settings: Settings, servers: int | None) -> Iterator[Finding]:
    """Nothing where there is none. What servers do without is a warning.

    `servers`: how many there are; None: as many as there are machines connected.
    """
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    try:
        found = run(wiring.replica_following(settings))
    except NotMigrated as error:  # of which a role that lacks rights is a kind
        advice = "let it log in with a role that may read the tables"
        yield _wrong(error.detail, advice)
    except Misconfigured as error:
        for problem in error.problems:
            yield _wrong(problem, "correct DATABASE_READ_URL")
    except Unavailable as error:
        yield _warned(error.detail + _MEANWHILE, "start it, or correct DATABASE_READ_URL")
    else:
        if found:
            yield _judged(found)
            if found.is_ours and not settings.database_pooler:
                yield _connections(settings, found, servers or max(found.machines, 1))


def _judged(found: "Following") -> Finding:
    if not found.is_ours:
        detail = "the server of DATABASE_READ_URL has another database than that of DATABASE_URL"
        return _wrong(detail, "correct DATABASE_READ_URL, also the name of the database in it")
    if found.takes_writes:
        detail = "the server of DATABASE_READ_URL takes writes, so it is no replica"
        return _warned(detail + _MEANWHILE, "name a replica; after a failover make one again")
    if found.behind:
        return _warned(_lag(found) + _MEANWHILE, "look at its log, and at pg_stat_replication")
    return Finding("replica", ok=True, detail="has what was written three seconds ago")


def _connections(settings: Settings, found: "Following", servers: int) -> Finding:
    """Each worker has as many to the replica as to the database, which may be the same server."""
    pools = servers * settings.workers * settings.database_pool_size
    detail = f"servers x WORKERS x DATABASE_POOL_SIZE ({pools})"
    wanted = pools
    if found.takes_writes:
        wanted = 2 * pools
        detail = f"DATABASE_URL and DATABASE_READ_URL together, twice {detail}"
    return Finding(
        "replica connections",
        ok=True,
        warning=wanted + COMMANDS > found.connections,
        detail=f"{detail} of {found.connections} that the server of DATABASE_READ_URL has for them",
        advice="lower DATABASE_POOL_SIZE or WORKERS, or raise max_connections there",
    )


def _lag(found: "Following") -> str:
    told = [f"is {found.behind // 1024 + 1} KiB of log behind"]
    if found.replayed_ago is not None:
        told.append(f"its last change is {found.replayed_ago:.0f} s old")
    if found.is_paused:
        told.append("its replay is paused (pg_wal_replay_resume)")
    if not found.receives:
        told.append("it receives no log")
    return ", ".join(told)


def _wrong(detail: str, advice: str) -> Finding:
    return Finding("replica", ok=False, detail=detail, advice=advice, code=CONFIGURATION)


def _warned(detail: str, advice: str) -> Finding:
    return Finding("replica", ok=True, warning=True, detail=detail, advice=advice)
