"""Who may call what: every route, from the table of policies and the list of public ones."""

import re
from typing import Any

from tests.api.people import V1
from tests.test_policy_matrix import FORBIDDEN, MATRIX, OVER_HTTP

PUBLIC, USER, ADMIN = "public", "user", "admin"


def call_of(method: str, path: str) -> str:
    """As the document names the operation: `GET /api/v1/tasks/{task_id}`."""
    template = re.sub(r"{(\w+)}", r"{\1_id}", path.partition("?")[0])
    return f"{method} {V1}{template}"


# Calls beside those of the table of policies: each is another way to one of its actions.
TWINS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "edit": ("PATCH", "/tasks/{task}", {"title": "y"}),
    "see own changes": ("GET", "/changes/stream", None),
}
REQUESTS = [*OVER_HTTP.items(), *TWINS.items()]
"""An action of the table of policies, and the method, path and body of its request."""
BODIES = {call_of(*request[:2]): request[2] for _, request in reversed(REQUESTS)}
"""By call. Of two requests that differ in their bodies alone, the first."""

ACCESS = {
    call_of(method, path): ADMIN if set(MATRIX[action]["user"]) == {FORBIDDEN} else USER
    for action, (method, path, _) in REQUESTS
} | dict.fromkeys(
    [
        "POST /api/v1/auth/register",
        "POST /api/v1/auth/login",
        "POST /api/v1/auth/refresh",
        "GET /api/v1/openapi.json",
        "GET /api/v1/docs",
        "GET /api/v1/docs/assets/{name}",
        "GET /api/v1/redoc",
        "GET /",
        "GET /livez",
        "GET /readyz",
    ],
    PUBLIC,
)
NOT_OPERATIONS = {call for call in ACCESS if call == "GET /" or re.search("openapi|doc|z$", call)}
"""Routes of the documentation and of health checks, which the document leaves out."""
