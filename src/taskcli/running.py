"""Opens the core for a command, and closes it properly."""

import logging
import os
import pwd
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
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
from taskcore.adapters.keys import kept_secret
from taskcore.domain.printable import block
from taskcore.settings import MIN_KEY_BYTES, Secret

Result = TypeVar("Result")


def with_core(
    work: Callable[[Core], Awaitable[Result]], *, creates: bool = False, keyed: bool = False
) -> Result:
    """Return what `work` returns. Raises what the core raises.

    Where there is no database yet, one is made if the command `creates` what others need first;
    else raises Misconfigured, because a mistaken DATA_DIR would show as an empty list. `keyed`:
    the work needs the key of the servers; else raises Misconfigured.
    """
    loaded = settings()
    if creates:
        announce_new_database(loaded)
    else:
        require_database(loaded)
    return run(_worked(loaded, work, keyed=keyed))


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


async def _with_key(settings: Settings, *, keyed: bool) -> Settings:
    """With the key that is there, or one that is forgotten with this command.

    `open_core` would make one in DATA_DIR, where SECRET_KEY may be set for servers alone. If
    `keyed`, it is made as long as no server has another one; else raises Misconfigured.
    """
    if settings.secret_key or kept_secret(settings.key_file):
        return settings
    if keyed:
        from taskcore import wiring  # noqa: PLC0415 - slow to import

        await wiring.make_key(settings)
        return settings
    return replace(settings, secret_key=Secret(token_hex(MIN_KEY_BYTES)))


async def _worked(
    settings: Settings, work: Callable[[Core], Awaitable[Result]], *, keyed: bool
) -> Result:
    # A script that has created something must find it in the list.
    settings = replace(settings, database_read_url=None)
    async with open_core(await _with_key(settings, keyed=keyed)) as core:
        try:
            # `open_core` succeeds without a database, because a server may start before it.
            await core.store.check()
        except Unavailable:
            from taskcore import wiring  # noqa: PLC0415 - slow to import

            await wiring.reach_database(settings)  # its error says why; that of the pool does not
            raise
        if keyed:
            from taskcore.signing_key import check_key  # noqa: PLC0415 - slow to import

            await check_key(settings, core.store)
        try:
            return await work(core)
        except OutcomeUnknown:
            raise
        except Unavailable as error:
            # If the database has gone meanwhile, this raises; otherwise it was only busy.
            await core.store.check()
            raise Busy(error.detail) from error
