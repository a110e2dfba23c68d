"""Whether this process lives, and whether it is ready to serve."""

from litestar import get

from taskapi.providers import ApiRequest
from taskapi.wire import View


class Health(View):
    status: str


@get("/livez", include_in_schema=False)
async def livez() -> Health:
    """No I/O: a database that is away is no reason to restart this process."""
    return Health("ok")


@get("/readyz", include_in_schema=False)
async def readyz(request: ApiRequest) -> Health:
    """The database answers and is migrated; else 503."""
    await request.core.store.check()
    return Health("ok")
