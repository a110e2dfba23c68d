"""What works and will become a problem: the warnings of `taskcli doctor`."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from taskcli.doctor_findings import Finding
from taskcli.signals import run
from taskcore import Settings

if TYPE_CHECKING:
    from taskcore.wiring import Diagnostics

# Free space below which a disk will soon be full: a tenth of it, within these bounds.
_LITTLE, _PLENTY = 2 * 2**30, 20 * 2**30
_BACKUP_AGE = timedelta(days=2)
_ARCHIVE_AGE = timedelta(hours=1)
_WAL = 2**30  # bytes kept for a replica that is not there
_AGE = 1.5  # of what autovacuum begins to freeze at: with three times 2 billion are far yet
COMMANDS = 3  # connections for `taskcli` and backups


def is_filling(folder: Path) -> bool:
    """Raises OSError."""
    disk = shutil.disk_usage(folder)
    return disk.free < min(max(disk.total // 10, _LITTLE), _PLENTY)


def warnings(settings: Settings, servers: int | None) -> Iterator[Finding]:
    """`servers`: how many there are; None: as many as there are machines connected."""
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    found = run(wiring.diagnose(settings))
    if settings.database_url is None or not settings.database_pooler:
        yield _connections(settings, found, servers or max(found.machines, 1))
    yield _timeouts(found)
    yield _growth(found)
    yield _room(settings, found)
    if found.waits_for_standby:
        yield Finding(
            "standby",
            ok=True,
            warning=True,
            detail="commits wait for a synchronous standby, and none is connected: no write ends",
            advice="start it, or clear synchronous_standby_names (ALTER SYSTEM, pg_reload_conf())",
        )


def _connections(settings: Settings, found: "Diagnostics", servers: int) -> Finding:
    wanted = servers * settings.workers * settings.database_pool_size
    there = found.connections
    return Finding(
        "connections",
        ok=True,
        warning=wanted + COMMANDS > there,
        detail=f"servers x WORKERS x DATABASE_POOL_SIZE ({servers} x {settings.workers} x"
        f" {settings.database_pool_size} = {wanted}) of {there} that PostgreSQL has for them",
        advice="lower DATABASE_POOL_SIZE or WORKERS, raise max_connections, or put a pooler before"
        " PostgreSQL; `--servers NUMBER` says how many servers there will be",
    )


def _timeouts(found: "Diagnostics") -> Finding:
    without = ", ".join(found.without)
    return Finding(
        "timeouts",
        ok=True,
        warning=bool(without),
        detail=f"there is no {without}" if without else "end statements that hang",
        advice="take it out of the options of DATABASE_URL; if a pooler drops what we ask for, set"
        " DATABASE_POOLER=on and the role's settings, which `taskcli doctor` then names",
    )


def _growth(found: "Diagnostics") -> Finding:
    told = [f"{each.name} has {each.dead} dead rows beside {each.live}" for each in found.untidy]
    if not found.vacuums:
        told.append("autovacuum or track_counts is off")
    if found.age > _AGE:
        told.append(f"rows wait to be frozen ({found.age:.1f} x autovacuum_freeze_max_age)")
    return Finding(
        "growth",
        ok=True,
        warning=bool(told),
        detail="; ".join(told) or "autovacuum keeps up",
        advice="set autovacuum and track_counts on; end old transactions (pg_stat_activity,"
        " pg_prepared_xacts) and remove replication slots that nothing reads; then run VACUUM",
    )


def _room(settings: Settings, found: "Diagnostics") -> Finding:
    size = f"the database has {found.size // 2**20} MiB"
    if found.held_wal > _WAL:
        return Finding(
            "room",
            ok=True,
            warning=True,
            detail=f"{found.held_wal // 2**20} MiB of log are kept for a replica that is away",
            advice="bring it back, or drop its slot (pg_drop_replication_slot)",
        )
    folder = Path(found.folder) if found.folder else None
    if settings.database_url is None:
        folder = settings.data_dir
    try:
        if folder is None:
            return Finding("room", ok=True, detail=f"{size}; its disk is not known here")
        is_short, free = is_filling(folder), shutil.disk_usage(folder).free // 2**20
    except OSError:
        return Finding("room", ok=True, detail=f"{size}; its disk cannot be seen from here")
    return Finding(
        "room",
        ok=True,
        warning=is_short,
        detail=f"{size}, and {free} MiB are free on its disk",
        advice="make room, or move it: writes are refused when the disk is full",
    )


def backup(settings: Settings) -> Iterator[Finding]:
    """How old the last one is that is known, of a database that has users."""
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    made = run(wiring.last_backup(settings))
    now = datetime.now(UTC)
    archives = made.archived_at is not None and now - made.archived_at < _ARCHIVE_AGE
    if not made.has_users:
        yield Finding("backup", ok=True, detail="there are no users yet")
        return
    if made.at is None:
        said = "`taskcli backup` has made none"
    else:
        hours = int((now - made.at) / timedelta(hours=1))
        said = f"`taskcli backup` made the last one {hours} hours ago"
    yield Finding(
        "backup",
        ok=True,
        warning=not archives and (made.at is None or now - made.at > _BACKUP_AGE),
        detail=said + (", and the log is archived" if archives else ""),
        advice="run `taskcli backup` every hour or day; other programs' backups are not known here",
    )
