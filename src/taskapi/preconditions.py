"""If-Match and If-None-Match of a write to one task (RFC 9110 section 13.1).

With one tag this only says which version the task must have: `TaskWrite` in
`taskcore/usecases/task_writes.py` compares it, and raises StaleWrite.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskapi.etags import etag, if_match_versions, matches, well_formed
from taskapi.paths import parse_id
from taskapi.providers import ActorRequest
from taskcore import StaleWrite, TaskId

_NO_VERSION = 0  # no task has it: the first version is 1
_NEVER_MATCHES = (
    "No tag in If-Match can match, whatever the task is: send its `version` in quotes, such as"
    ' If-Match: "3". A proxy that compresses may have made a weak tag W/"3" of its ETag'
)


@asynccontextmanager
async def precondition(request: ActorRequest, task_id: str) -> AsyncIterator[int | None]:
    """Yields the version that the task must have for the write in the block; None for any.

    If no version can meet the conditions, the detail of StaleWrite says that. The usual advice, to
    read the task again, would not help the client then.
    """
    if_match = well_formed("If-Match", request.header(b"if-match"))
    if_none_match = well_formed("If-None-Match", request.header(b"if-none-match"))
    versions = if_match_versions(if_match)
    if versions is None and if_none_match is None:
        yield None
        return
    try:
        yield await _allowed(request, task_id, versions, if_none_match)
    except StaleWrite:
        if versions is not None and not versions:
            raise StaleWrite(_NEVER_MATCHES) from None
        raise


async def _allowed(
    request: ActorRequest, task_id: str, versions: frozenset[int] | None, if_none_match: str | None
) -> int:
    if if_none_match is None and versions is not None and len(versions) <= 1:
        return next(iter(versions), _NO_VERSION)
    task = await request.core.tasks.get(request.actor, TaskId(parse_id(task_id)))
    is_allowed = versions is None or task.version in versions
    is_allowed = is_allowed and not matches(if_none_match, etag(task.version))
    return task.version if is_allowed else _NO_VERSION
