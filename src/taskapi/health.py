"""Liveness and readiness of this process."""

import asyncio
from contextvars import Context

from litestar import get

from taskapi.drain_flag import is_draining
from taskapi.parameters import IGNORES_QUERY
from taskapi.providers import ApiRequest
from taskapi.responses import View
from taskcore import Unavailable


class Health(View):
    status: str


@get("/livez", include_in_schema=False, opt={IGNORES_QUERY: True})
async def livez() -> Health:
    """No I/O: restarting this process would not bring back a database that is away."""
    return Health("ok")


@get("/readyz", include_in_schema=False, opt={IGNORES_QUERY: True})
async def readyz(request: ApiRequest) -> Health:
    """503 unless the database answers and is migrated, and this server goes on.

    Requests at the same time share a check, so that they cannot use up the connections.
    """
    if is_draining():
        raise Unavailable("This server is about to stop")
    state = request.app.state
    check: asyncio.Task[None] | None = state.get("check")
    if check is None or check.done():
        check = state.check = asyncio.create_task(request.core.store.check(), context=Context())
        check.add_done_callback(_seen)
    await asyncio.shield(check)
    return Health("ok")


def _seen(check: "asyncio.Task[None]") -> None:
    """Fetch the check's error, which asyncio would log if no request waits for it any more."""
    if not check.cancelled():
        check.exception()
