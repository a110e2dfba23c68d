"""`taskcli db`: the schema of the database."""

from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import Json
from taskcli.exits import FAILURE
from taskcli.nouns import noun
from taskcli.output import message, note, print_line, show
from taskcli.running import announce_new_database, require_database, settings
from taskcli.signals import run
from taskcore import Settings

# The wiring is imported in the commands, because it takes a second and `--help` needs none of it.


def upgrade(
    *,
    revision: Annotated[str, Parameter(metavar="REVISION", help="Stop at this revision.")] = "head",
) -> None:
    """Migrate, each revision as a whole or not at all; after a failure call it again.

    Of two upgrades at the same time the second finds nothing to do.
    """
    from taskcore import wiring  # noqa: PLC0415

    loaded = settings(keyless=True)
    announce_new_database(loaded)
    done = run(wiring.upgrade_database(loaded, revision))
    if done.before == done.after:
        note(f"nothing to do: the database has revision {done.after}")
    else:
        note(f"upgraded the database from revision {done.before or 'none'} to {done.after}")


def current(*, as_json: Json = False) -> None:
    """Print the revision of the database, or nothing when it was never migrated."""
    from taskcore import wiring  # noqa: PLC0415

    loaded = settings(keyless=True)
    require_database(loaded)
    revision = run(wiring.database_revision(loaded))
    if as_json:
        show({"revision": revision}, as_json=True)
    elif revision:
        print_line(revision)
    else:
        note("the database was never migrated; run `taskcli db upgrade`")


def check() -> int:
    """Exit with 0 if the database has the schema that this version needs, else with 1."""
    loaded = settings(keyless=True)
    require_database(loaded)
    if is_migrated(loaded):
        return 0
    message("the database is not migrated; run `taskcli db upgrade`")
    return FAILURE


def is_migrated(settings: Settings) -> bool:
    """Whether it has our schema. Raises Unavailable and Misconfigured."""
    from taskcore import wiring  # noqa: PLC0415

    return run(wiring.is_migrated(settings))


app = noun(
    "db",
    "Migrate the database to the schema that this version needs, or show its revision.\n\n"
    "The embedded database is migrated by `taskcli serve`, and by commands on users and tasks.\n"
    "No SECRET_KEY is needed.",
)
