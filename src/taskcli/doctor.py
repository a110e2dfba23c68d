"""`taskcli doctor`: what could keep the server from working, and what to do about it."""

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import Json, Whole
from taskcli.db import is_migrated
from taskcli.doctor_findings import Finding, answered, as_record, rows
from taskcli.doctor_folder import disk, key
from taskcli.doctor_warnings import backup, warnings
from taskcli.exits import CONFIGURATION
from taskcli.output import show, show_rows
from taskcli.replica import replica
from taskcli.running import lacks_database, settings
from taskcli.signals import run
from taskcore import Misconfigured, Settings, Unavailable

_SKEW = 5.0  # seconds; access tokens allow as much


def doctor(
    *,
    servers: Annotated[
        Whole | None,
        Parameter(
            metavar="NUMBER",
            show_default=False,
            help="How many servers use the database; else as many as machines that are connected.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Check settings, disk, secret key, database, schema and clock, and say what to do.

    Warns of what will become a problem: too few connections, time limits that are missing, a disk
    that fills, tables that grow, an old backup, a replica that is away or behind. Starts the
    embedded database for a moment if it does not run. Exits with 0 when all is well or there are
    only warnings, with 78 when the configuration is wrong, and with 1 for everything else.
    """
    findings = list(_findings(servers))
    if as_json:
        ok = all(finding.ok for finding in findings)
        show({"ok": ok, "checks": list(map(as_record, findings))}, as_json=True)
    else:
        show_rows([row for finding in findings for row in rows(finding)])
    return max((finding.code for finding in findings if not finding.ok), default=0)


def _findings(servers: int | None) -> Iterator[Finding]:
    try:
        loaded = settings()
    except Misconfigured as error:
        advice = "change it in the environment or in .env; `taskcli config show` lists all"
        for problem in error.problems:
            yield Finding("settings", ok=False, detail=problem, advice=advice, code=CONFIGURATION)
        return
    yield Finding("settings", ok=True, detail="can be read")
    # A warning is no problem: containers mount their secrets readable for others.
    for warning in loaded.warnings:
        yield Finding("settings", ok=True, detail=warning, warning=True)
    yield disk(loaded)
    at_hand = key(loaded)
    in_database = list(_database(loaded, servers, compares_key=at_hand.ok))
    if all(finding.name != at_hand.name for finding in in_database):  # else it says more
        yield at_hand
    yield from in_database


def _database(settings: Settings, servers: int | None, *, compares_key: bool) -> Iterator[Finding]:
    # Do not make the database here: that would hide a mistaken DATA_DIR.
    if lacks_database(settings):
        detail = f"there is none in {settings.data_dir} yet; the first start will make one"
        yield Finding("database", ok=True, detail=detail)
        return
    kind = "of DATABASE_URL" if settings.database_url else f"in {settings.data_dir}"
    try:
        migrated = is_migrated(settings)
    except Unavailable as error:
        advice = "start it, or correct DATABASE_URL"
        if not settings.database_url:
            advice = f"see {settings.data_dir / 'postgres' / 'server.log'}"
        yield Finding("database", ok=False, detail=error.detail, advice=advice)
        return
    except Misconfigured as error:
        for problem in error.problems:
            yield Finding("database", ok=False, detail=problem, code=CONFIGURATION)
        rights = answered("rights", _rights(settings))
        yield from (each for each in rights if each.detail not in error.problems)
        return
    yield Finding("database", ok=True, detail=f"the one {kind} answers")
    if settings.database_url:
        yield from _primaries(settings)
    if not migrated:
        yield from answered("rights", _rights(settings))
    yield Finding(
        "schema",
        ok=migrated,
        detail="is what this version needs" if migrated else "is older than this version needs",
        advice="run `taskcli db upgrade`",
    )
    if compares_key:
        yield from answered("key", _servers_key(settings))
    yield from answered("vacuum", _upkeep(settings))
    yield from answered("clock", _clock(settings))
    yield from answered("forecast", warnings(settings, servers))
    if migrated:
        yield from answered("passwords", _passwords(settings))
        yield from answered("backup", backup(settings))
        yield from replica(settings, servers)


def _primaries(settings: Settings) -> Iterator[Finding]:
    """Nothing where DATABASE_URL leads to one server that takes writes."""
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    found = run(wiring.primaries(settings))
    if len(found) > 1:
        yield Finding(
            "primary",
            ok=False,
            detail=f"{len(found)} hosts of DATABASE_URL take writes: {', '.join(found)}",
            advice="stop the old one at once, as a rule that of the lower timeline, and let nothing"
            " start it again: servers write to either (docs/deployment.md, A failover by hand)",
        )


def _servers_key(settings: Settings) -> Iterator[Finding]:
    """Nothing where servers sign with the key that is at hand, or none has started yet."""
    from taskcore import signing_key, wiring  # noqa: PLC0415 - slow to import

    if run(wiring.has_servers_key(settings)) is False:
        yield Finding(
            "key",
            ok=False,
            detail=signing_key.difference(settings),
            advice=signing_key.ADVICE,
            code=CONFIGURATION,
        )


def _rights(settings: Settings) -> Iterator[Finding]:
    """Nothing where the role has all rights that servers, or a first migration, need."""
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    grants = run(wiring.missing_grants(settings))
    if grants:
        yield Finding(
            "rights",
            ok=False,
            detail=f"the role lacks {len(grants)} grants",
            advice=f"run as the owner of the tables or the schema: {'; '.join(grants)};",
            code=CONFIGURATION,
        )


def _upkeep(settings: Settings) -> Iterator[Finding]:
    """Check what keeps the tables and indexes of PostgreSQL from growing without end."""
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    vacuums = run(wiring.is_vacuuming(settings))
    is_stuck = run(wiring.is_word_index_stuck(settings))
    yield Finding(
        "vacuum",
        ok=vacuums,
        detail="is on" if vacuums else "is off for the tasks, by a migration that has not ended",
        advice="run `taskcli db upgrade`",
    )
    yield Finding(
        "words",
        ok=not is_stuck,
        detail="have an index that this role may not rebuild, and it is time"
        if is_stuck
        else "have an index that is not overgrown, or will be rebuilt",
        advice="run `taskcli housekeeping` as the owner of the database, once a day",
    )


def _passwords(settings: Settings) -> Iterator[Finding]:
    """Count old hashes, which are no problem: a login replaces an old hash."""
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    count = run(wiring.count_old_hashes(settings))
    some = f"{count} still hashed by bcrypt; the next login replaces each"
    yield Finding("passwords", ok=True, detail=some if count else "all hashed by argon2")


def _clock(settings: Settings) -> Iterator[Finding]:
    from taskcore import wiring  # noqa: PLC0415 - slow to import

    skew = run(wiring.clock_skew(settings)).total_seconds()
    yield Finding(
        "clock",
        ok=abs(skew) <= _SKEW,
        detail=f"the database's is {round(skew, 1) + 0.0:+.1f} s from this machine's",
        advice="synchronise both, by NTP for example: tokens and sessions expire by these clocks",
    )
