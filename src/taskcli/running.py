"""Opens the core for a command, and closes it properly."""

import logging
import os
import pwd
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from taskcli.exits import Busy
from taskcli.output import note
from taskcli.signals import run
from taskcore import (
    SYSTEM,
    Actor,
    Core,
    Misconfigured,
    Origin,
    OutcomeUnknown,
    Settings,
    Unavailable,
    open_core,
)
from taskcore.domain.printable import block

Result = TypeVar("Result")


def with_core(work: Callable[[Core], Awaitable[Result]], *, creates: bool = False) -> Result:
    """Return what `work` returns. Raises what the core raises.

    Where there is no database yet, one is made if the command `creates` what others need first;
    else raises Misconfigured, because a mistaken DATA_DIR would show as an empty list.
    """
    loaded = settings()
    if creates:
        announce_new_database(loaded)
    else:
        require_database(loaded)
    return run(_worked(loaded, work))


def announce_new_database(settings: Settings) -> None:
    if lacks_database(settings):
        note(f"making a new database in {settings.data_dir}")


def require_database(settings: Settings) -> None:
    """Raises Misconfigured."""
    if lacks_database(settings):
        raise Misconfigured(
            [
                f"DATA_DIR: there is no database in {settings.data_dir}",
                "`taskcli serve`, `taskcli db upgrade` and `taskcli users create` make one",
            ]
        )


def lacks_database(settings: Settings) -> bool:
    """Whether the first start would make the embedded database."""
    with suppress(PermissionError):
        folder = settings.data_dir / "postgres"
        return not settings.database_url and not (folder / "cluster").exists()
    return False


def operator() -> Actor:
    """The system actor. The audit records the machine's user name with it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a uid without a name
        name = str(os.getuid())
    return replace(SYSTEM, origin=Origin.new(user_agent=f"cli:{name}"))


def settings(*, keyless: bool = False) -> Settings:
    """The settings, as the server reads them; `keyless` as there. Raises Misconfigured."""
    loaded = Settings.load(keyless=keyless)
    if loaded.log_level == "DEBUG":
        shown = logging.StreamHandler()
        shown.setFormatter(_Visible(logging.BASIC_FORMAT))
        logging.basicConfig(level=logging.DEBUG, handlers=[shown])
    else:
        # The libraries' logs are for servers. A command reports an error once, as the core's.
        logging.getLogger().addHandler(logging.NullHandler())
    return loaded


class _Visible(logging.Formatter):
    """Lines of libraries, which may quote data: what follows the first line is indented."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n  ".join(block(super().format(record)))


async def _worked(settings: Settings, work: Callable[[Core], Awaitable[Result]]) -> Result:
    # A script that has created something must find it in the list.
    async with open_core(replace(settings, database_read_url=None)) as core:
        try:
            # `open_core` succeeds without a database, because a server may start before it.
            await core.store.check()
        except Unavailable:
            from taskcore import wiring  # noqa: PLC0415 - slow to import

            await wiring.reach_database(settings)  # its error says why; that of the pool does not
            raise
        try:
            return await work(core)
        except OutcomeUnknown:
            raise
        except Unavailable as error:
            # If the database has gone meanwhile, this raises; otherwise it was only busy.
            await core.store.check()
            raise Busy(error.detail) from error
