"""`taskcli housekeeping`: what a running server does by itself."""

import asyncio
import sys

from taskcli.arguments import Json
from taskcli.output import show
from taskcli.running import with_core
from taskcli.streams import write_error
from taskcore import Core

_WAIT = 0.2  # seconds, while another process does the same
_WIDTH = 60


def housekeeping(*, as_json: Json = False) -> None:
    """Remove what deleted accounts have left behind, to the end. Prints what it has removed.

    A running server does the same at its start and every minute. It may be interrupted at any
    moment: the next call goes on. What another process removes meanwhile is not counted.
    """
    show(with_core(swept), as_json=as_json)


async def swept(core: Core) -> dict[str, object]:
    """Remove all there is; return the numbers. Shows on a terminal how much is left."""
    accounts = tasks = 0
    try:
        async for progress in core.housekeeping.sweep():
            removed, left = progress.removed, progress.left
            accounts, tasks = accounts + removed.accounts, tasks + removed.tasks
            _tell(f"removing tasks of deleted accounts: {left.tasks} left")
            if not (removed.accounts or removed.tasks):
                await asyncio.sleep(_WAIT)
    finally:
        _tell("")
    return {"accounts": accounts, "tasks": tasks}


def _tell(text: str) -> None:
    """Write over the line before."""
    if sys.stderr is not None and sys.stderr.isatty():
        write_error(f"\r{text:<{_WIDTH}}\r")
