"""`taskcli housekeeping`: what a running server does by itself."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from taskcli.arguments import DryRun, Json
from taskcli.output import message, progress, show
from taskcli.running import with_core
from taskcore import Core

_WAIT = 0.2  # seconds, while another process does the same
# What people read; programs get the names.
_WORDS = {
    "accounts": "deleted accounts",
    "tasks": "tasks of deleted accounts",
    "trash": "tasks whose time in the trash is over",
    "events": "events of the history that nothing needs",
    "sessions": "expired sessions",
    "keys": "idempotency keys of more than a day",
    "limits": "rate limits whose period is over",
    "index_bytes": "bytes of the index of words",
}


def housekeeping(*, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove what nothing needs any more, to the end. Prints what it has removed.

    These are the rows of deleted accounts, tasks that have been in the trash for TRASH_DAYS,
    expired sessions, idempotency keys of more than a day, and rate limits whose period is over. The
    index of words is rebuilt if it has doubled, which may take minutes. A running server does the
    same at its start and every minute.
    It may be interrupted at any moment: the next call goes on. What another process removes
    meanwhile is not counted. With --dry-run up to 100 000 rows of each kind are counted, and rate
    limits are not.
    """
    if dry_run:
        _show(with_core(lambda core: core.housekeeping.removable()), as_json=as_json)
        return
    removed: Counter[str] = Counter()

    async def work(core: Core) -> None:
        failed = await swept(core, removed)
        for kind in failed:
            message(f"could not remove all {_WORDS.get(kind, kind)}")
        for error in failed.values():
            raise error

    try:
        with_core(work)
    finally:
        if removed:
            _show(removed, as_json=as_json)


def _show(numbers: Mapping[str, int], *, as_json: bool) -> None:
    names = {} if as_json else _WORDS
    show({names.get(kind, kind): count for kind, count in numbers.items()}, as_json=as_json)


async def swept(core: Core, removed: Counter[str], *only: str) -> dict[str, Exception]:
    """Remove all kinds, or only those named, and count the rows. Shows the numbers on a terminal.

    Returns the errors of the kinds that have failed.
    """
    failed: dict[str, Exception] = {}
    try:
        elsewhere = True
        while elsewhere:
            elsewhere = False
            failed.clear()
            async for step in core.housekeeping.sweep(*only):
                removed.update(step.removed)
                elsewhere |= step.elsewhere
                if step.error:
                    failed[step.kind] = step.error
                shown = ", ".join(f"{name} {count}" for name, count in removed.items() if count)
                progress(f"removed: {shown or 'nothing'}")
            if elsewhere:
                await asyncio.sleep(_WAIT)
    finally:
        progress("")
    return failed
