"""`taskcli housekeeping`: what a running server does by itself."""

import asyncio

from taskcli.arguments import Json
from taskcli.output import progress, show
from taskcli.running import with_core
from taskcore import Core

_WAIT = 0.2  # seconds, while another process does the same


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
        async for step in core.housekeeping.sweep():
            removed, left = step.removed, step.left
            accounts, tasks = accounts + removed.accounts, tasks + removed.tasks
            progress(f"removing tasks of deleted accounts: {left.tasks} left")
            if not (removed.accounts or removed.tasks):
                await asyncio.sleep(_WAIT)
    finally:
        progress("")
    return {"accounts": accounts, "tasks": tasks}
