"""Whether this process lives, and whether it is ready to serve."""

from dishka.integrations.litestar import FromDishka, inject
from litestar import get

from taskapi.wire import View
from taskcore import Core


class Health(View):
    status: str


@get("/livez", include_in_schema=False)
async def livez() -> Health:
    """No I/O: a database that is away is no reason to restart this process."""
    return Health("ok")


@get("/readyz", include_in_schema=False)
@inject
async def readyz(core: FromDishka[Core]) -> Health:
    """The database answers and is migrated; else 503."""
    await core.store.check()
    return Health("ok")
