"""The line of the access log that each request gets, except health checks."""

from litestar.types import HTTPScope
from structlog.typing import FilteringBoundLogger

from taskapi.paths import HEALTH_PATHS
from taskapi.request_state import RequestState

_MAX_METHOD = 16  # characters, in the log
_REPLAYED, _NOTHING = {"replayed": True}, dict[str, bool]()


def log_request(
    log: FilteringBoundLogger,
    scope: HTTPScope,
    state: RequestState,
    *,
    method: str,
    route: str,
    status: int | None,
    seconds: float,
) -> None:
    """`method` is the client's; `scope` may have another. Without a `status` the client has left.

    A stream is logged when it ends: `seconds` are all that it took.
    """
    if scope["path"] in HEALTH_PATHS:
        return
    actor = state.actor
    log.info(
        "request",
        method=method[:_MAX_METHOD],
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 2),
        user_id=actor.user_id if actor else None,
        client=state.client,
        **_REPLAYED if state.is_replay else _NOTHING,
    )
