"""`taskcli backup` and `taskcli restore`."""

from collections.abc import Coroutine
from dataclasses import replace as replaced
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from taskcli.arguments import DryRun, Json, Yes
from taskcli.exits import FAILURE
from taskcli.output import clock_time, message, note, progress, show
from taskcli.prompts import confirmed, require_terminal_or
from taskcli.running import operator, settings
from taskcli.signals import run
from taskcore import Invalid, Misconfigured, Problem, Settings, TaskcoreError
from taskcore.adapters.archive import Manifest

# The wiring is imported in the commands, because it takes a second and `--help` needs none of it.
# ruff: noqa: PLC0415

File = Annotated[Path, Parameter(name="FILE", help="The file of the backup.")]
Recorded = TypeVar("Recorded")

_UNDER_ANOTHER_KEY = (
    "access tokens of before are refused, so that clients have to refresh them; sessions last until"
    " `taskcli sessions revoke --all --yes`"
)
Replace = Annotated[bool, Parameter(name="--replace", negative="", show_default=False)]


def backup(
    file: File,
    /,
    *,
    replace: Annotated[Replace, Parameter(help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Write the database and the secret key into one file, while servers go on.

    The file holds the state of one moment. It is read back and compared before it gets its name,
    so that one with that name is complete; it is readable for its owner alone. Keep it safe: who
    has it can log in as anyone. SECRET_KEY must be the one of the servers, if it is set for them.
    The audit tells of the backup, and `taskcli doctor` of its age.
    """
    from taskcore import wiring

    loaded = settings()
    if not loaded.database_url and not (loaded.data_dir / "postgres").exists():
        raise Misconfigured([f"DATA_DIR: there is no database in {loaded.data_dir}"])
    try:
        made = run(wiring.back_up(loaded, file.absolute(), _told, replace=replace))
        size = file.stat().st_size
    except OSError as error:
        return _failed(f"{file} cannot be written", error)
    finally:
        progress("")
    _recorded(wiring.record_backup(loaded, made, operator()), "backup")
    note(f"backed up {made.rows} rows of revision {made.revision} in {file}, {size} bytes")
    if not loaded.database_url and file.resolve().is_relative_to(loaded.data_dir.resolve()):
        note(f"{file} is in DATA_DIR, and lost with it: copy it to another machine or disk")
    if as_json:
        show({"file": str(file), "bytes": size, **_shape(made)}, as_json=True)
    return 0


def restore(
    file: File,
    /,
    *,
    replace: Annotated[
        Replace, Parameter(help="Put the backup in the place of what the database holds.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Put a backup into an empty database, or with --replace in the place of what is there.

    The file is checked, loaded beside the tables that are in use, compared with the file and
    migrated to this version. Only then it takes their place, at once; a restore that ends before
    that changes nothing. Servers may run: they go on with the restored rows, and what was written
    in between is lost. Restart them afterwards, because the key may be another. Cursors of
    `changes` end. Without SECRET_KEY the key of the backup is put into DATA_DIR. The audit
    tells of the restore.
    """
    from taskcore import wiring

    loaded = settings()
    if replace and not dry_run:
        require_terminal_or(yes, "replace a database")
        if not yes and not run(confirmed(f"Replace everything in {_place(loaded)}?")):
            note("nothing was restored")
            return FAILURE
    try:
        done = run(wiring.restore(loaded, file.absolute(), _told, replace=replace, dry_run=dry_run))
    except OSError as error:
        return _failed(f"{file} cannot be read", error)
    except Invalid as error:
        raise Invalid(*(_named(problem, file) for problem in error.problems)) from None
    finally:
        progress("")
    made, same_key = done.manifest, done.same_key
    of = f"{made.rows} rows of {clock_time(made.at, UTC)}"
    if dry_run:
        held = ", ".join(f"{table.name} {table.rows}" for table in made.tables if table.rows)
        note(
            f"would restore {of} into {_place(loaded)}",
            f"revision {made.revision}, of PostgreSQL {made.postgres}: {held}",
        )
    else:
        signed = _recorded(wiring.record_restore(loaded, made, operator()), "restore")
        same_key = done.same_key if signed is None else signed
        note(f"restored {of} into {_place(loaded)}; restart servers")
    if not same_key and done.same_key:
        message("the key in the file is not that of its servers", _UNDER_ANOTHER_KEY)
    elif not same_key:
        message(
            "SECRET_KEY is not the key of the backup",
            _UNDER_ANOTHER_KEY,
            f"`unzip -p {file} secret.key` prints that key",
        )
    if as_json:
        show({"same_key": same_key, **_shape(made)}, as_json=True)
    return 0


def _recorded(recording: Coroutine[Any, Any, Recorded], what: str) -> Recorded | None:
    """What was returned; None where it could not be recorded."""
    try:
        return run(recording)
    except TaskcoreError as error:  # what it is about has been done
        message(f"the audit does not tell of the {what}: {error.detail}")
    return None


def _named(problem: Problem, file: Path) -> Problem:
    return replaced(problem, field=str(file)) if problem.field == "file" else problem


def _told(table: str, rows: int) -> None:
    progress(f"{table}: {rows} rows")


def _shape(made: Manifest) -> dict[str, object]:
    return {
        "made_at": made.at,
        "revision": made.revision,
        "postgres": made.postgres,
        "rows": made.rows,
    }


def _place(loaded: Settings) -> str:
    return "the database of DATABASE_URL" if loaded.database_url else str(loaded.data_dir)


def _failed(what: str, error: OSError) -> int:
    message(f"{what}: {error.strerror or error}")
    return FAILURE
