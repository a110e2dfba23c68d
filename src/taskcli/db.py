"""`taskcli db`: the schema of the database."""

from typing import Annotated

from cyclopts import App, Parameter

from taskcli.arguments import Json
from taskcli.exits import FAILURE
from taskcli.output import message, show, write
from taskcli.running import settings
from taskcli.signals import run
from taskcore import Misconfigured, NotMigrated, Settings

# The wiring takes a second to import, so `--help` must not.

app = App(
    name="db",
    help="Bring the database to the schema that this version needs, or ask where it stands.\n\n"
    "The embedded database needs none of it: whoever uses it migrates it.",
)


@app.command
def upgrade(
    *, revision: Annotated[str, Parameter(help="Go no further than this one.")] = "head"
) -> None:
    """Migrate: everything or nothing. Two at the same time do it once."""
    from taskcore import wiring  # noqa: PLC0415

    run(wiring.upgrade_database(settings(), revision))
    message("the database is up to date" if revision == "head" else f"upgraded to {revision}")


@app.command
def current(*, as_json: Json = False) -> None:
    """Print the revision that the database is at; nothing where it was never migrated."""
    from taskcore import wiring  # noqa: PLC0415

    revision = run(wiring.database_revision(settings()))
    if as_json:
        show({"revision": revision}, as_json=True)
    elif revision:
        write(f"{revision}\n")
    else:
        message("the database was never migrated; run `taskcli db upgrade`")


@app.command
def check() -> int:
    """Exit with 0 if the database has the schema that this version needs, else with 1."""
    if is_migrated(settings()):
        return 0
    message("the database is not migrated; run `taskcli db upgrade`")
    return FAILURE


def is_migrated(settings: Settings) -> bool:
    """Always true of the embedded database. Raises Unavailable and Misconfigured."""
    from taskcore import wiring  # noqa: PLC0415

    try:
        with run(wiring.start_database(settings)):
            return True
    except Misconfigured as refusal:
        if refusal.problems != (NotMigrated.title,):  # the words of the wiring for it
            raise
        return False
