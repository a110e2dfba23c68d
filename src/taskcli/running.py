"""The one place where commands meet the core: it is opened, used, and left properly."""

import asyncio
import logging
import os
import pwd
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from types import FrameType
from typing import Any, TypeVar

from taskcli.exits import Busy
from taskcli.output import message
from taskcore import SYSTEM, Actor, Core, Origin, Settings, Unavailable, open_core

Result = TypeVar("Result")


def with_core(work: Callable[[Core], Awaitable[Result]]) -> Result:
    """What `work` returns. Raises everything that the core does."""
    return run(_worked(settings(), work))


def operator() -> Actor:
    """The system, as the user of this machine that the audit names."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        name = str(os.getuid())
    return replace(SYSTEM, origin=Origin.new(user_agent=f"cli:{name}"))


def settings() -> Settings:
    """As the server reads them. Raises Misconfigured."""
    loaded = Settings.load()
    if loaded.log_level == "DEBUG":
        logging.basicConfig(level=logging.DEBUG)
    else:
        # The libraries' logs are for servers. What went wrong is told once, as the core's error.
        logging.getLogger().addHandler(logging.NullHandler())
    return loaded


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, which SIGTERM and SIGHUP unwind as Ctrl-C does: by cancelling."""
    received: list[int] = []

    async def cancellable() -> Result:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def cancel(number: int, _: FrameType | None) -> None:
            received.append(number)
            if task and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

        for number in replaced:
            signal.signal(number, cancel)
        return await coroutine

    numbers = (signal.SIGTERM, signal.SIGHUP)
    replaced = {n: h for n in numbers if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise SystemExit(128 + received[0]) from None
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)


async def _worked(settings: Settings, work: Callable[[Core], Awaitable[Result]]) -> Result:
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        message(f"making a new database in {settings.data_dir}")
    async with open_core(settings) as core:
        # Opening succeeds without a database, for servers that start before it.
        await core.store.check()
        try:
            return await work(core)
        except Unavailable as error:
            # Either the database has gone meanwhile, which this raises, or it was only busy.
            await core.store.check()
            raise Busy(error.detail) from error
