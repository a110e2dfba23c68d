"""Liveness and readiness of this process."""

from litestar import get

from taskapi.providers import ApiRequest
from taskapi.responses import View


class Health(View):
    status: str


@get("/livez", include_in_schema=False)
async def livez() -> Health:
    """No I/O: restarting this process would not bring back a database that is away."""
    return Health("ok")


@get("/readyz", include_in_schema=False)
async def readyz(request: ApiRequest) -> Health:
    """503 unless the database answers and is migrated."""
    await request.core.store.check()
    return Health("ok")
