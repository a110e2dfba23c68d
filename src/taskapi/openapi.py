"""The OpenAPI 3.1 document, made from the handlers: names, docstrings, types and errors."""

import json
from collections.abc import Iterable, Iterator

from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from taskapi.compression import kept
from taskapi.docs import to_canonical
from taskapi.documented_headers import (
    HEADERS,
)
from taskapi.documented_operations import Operation, is_the_same_everywhere, method, written
from taskapi.documented_schemas import Json, Schemas
from taskapi.problems import (
    BY_STATUS,
    HttpProblem,
    ProblemView,
)
from taskapi.providers import ApiRequest
from taskapi.schema_names import schema_name
from taskcore import (
    Settings,
)

# Of the operations on one path, in the order in which people use them.
_METHODS = ("post", "get", "put", "patch", "delete")


@get("/openapi.json", include_in_schema=False)
async def document_handler(request: ApiRequest) -> Response[bytes]:
    if elsewhere := to_canonical(request, "openapi.json"):
        return elsewhere
    return kept(request.app.state.document).answer(request, "application/json", {})


def document(app: Litestar, settings: Settings) -> bytes:
    operations = [Operation(path, handler) for path, handler in _documented(app)]
    schemas = Schemas()
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation.as_json(
            schemas, operations
        )
    shapes = {shape for operation in operations for shape in operation.shapes} | {ProblemView}
    components = schemas.components(shapes)
    refusals = [
        each
        for operation in operations
        for found in operation.refusals().values()
        for each in found
    ]
    components[schema_name(ProblemView.__name__)]["examples"] += [
        written(each)["value"] for each in _before_any_operation(refusals)
    ]
    parts = {
        "openapi": "3.1.0",
        "info": {
            "title": settings.app_name,
            "version": settings.app_version,
            "summary": "Accounts, sessions and tasks",
            "description": _INTRODUCTION,
            # Whom to ask is for the operator to say; linters want the field.
            "contact": {"name": "The operator of this server"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to the document, which may be served below a prefix that a proxy strips.
        "servers": [{"url": "../..", "description": "This server"}],
        "tags": _TAGS,
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": HEADERS,
            "examples": {
                each.code: written(each) for each in refusals if is_the_same_everywhere(each)
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a login",
                }
            },
        },
    }
    return json.dumps(parts, ensure_ascii=False).encode()


_INTRODUCTION = """\
Register, log in, and send the access token as `Authorization: Bearer …`.

Errors are problem details (RFC 9457); programs look at their `code`. 400 means that the request
cannot be read, 422 that it can, but breaks the rules which `errors` lists.

Fields of a body and query parameters that are not listed are errors, and an edit leaves fields that
it does not name as they are. A field that a body has twice counts as given last; a query parameter
is sent only once, except for those of several values, at most 20. HEAD works wherever GET does.

If no answer comes, or a 503, send a change again with the same `Idempotency-Key`: it is made once.

Any request can also be refused before it reaches an operation, with 405, 431 or 501.

What may be added without a new version: operations, optional parameters and fields, fields of
answers, kinds of events, the rules that `errors` names, and a `code` that only a request with
something new can get. Ignore what you do not know; an unknown `code` means what its status means.
"""
_TAGS = [
    {"name": "Authentication", "description": "Your own account and sessions"},
    {"name": "Tasks", "description": "The tasks of a user, or of all users for administrators"},
    {"name": "Trash", "description": "Deleted tasks, which can be restored for some time"},
    {"name": "History", "description": "What happened to tasks, and what changes in your account"},
    {"name": "Users", "description": "All accounts, for administrators"},
    {"name": "Audit", "description": "The audit log, for administrators"},
]


def _before_any_operation(refusals: Iterable[HttpProblem]) -> Iterator[HttpProblem]:
    """Those that the server alone gives, on whatever path."""
    documented = {each.status for each in refusals}
    for status, (code, detail) in BY_STATUS.items():
        if status not in documented:
            yield HttpProblem(status, code, detail)


def _documented(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            shown = [each for each in route.route_handlers if each.include_in_schema is not False]
            # Litestar's own order differs between workers, and so would the ETag.
            for handler in sorted(shown, key=lambda each: _METHODS.index(method(each))):
                yield route.path_format, handler
