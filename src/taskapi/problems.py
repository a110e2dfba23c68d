"""Refusals over HTTP: RFC 9457 problem details, translated in one place."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap, Scope, Send
from msgspec import UNSET, Meta, Struct, UnsetType

from taskcore import (
    Conflict,
    ExpiredToken,
    Forbidden,
    Invalid,
    InvalidToken,
    Misconfigured,
    NotFound,
    StaleWrite,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger("taskapi")

MEDIA_TYPE = "application/problem+json"
# The key under which a handler lists the refusals of the core that are its own.
MAY_REFUSE = "may_refuse"
# Under this, the limit that clients are told of. Others may be narrower for some.
LIMITED = "limited"
# The same for the headers of its success, beside those of every answer.
SENDS = "sends"
# And for the conditions that it heeds: headers of the request.
HEEDS = "heeds"

# The most specific class wins.
STATUS: Mapping[type[TaskcoreError], int] = {
    Invalid: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    StaleWrite: 412,
    TooMany: 429,
    Unavailable: 503,
    Misconfigured: 500,
}


class FieldProblem(Struct, omit_defaults=True):
    """One broken rule: where (a JSON pointer into the body, or a parameter's name) and why."""

    detail: Annotated[str, Meta(examples=["needs at least 1 character"])]
    code: Annotated[str, Meta(examples=["too_short"])]
    pointer: Annotated[str, Meta(examples=["/title"])] | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


class ProblemView(Struct, omit_defaults=True):
    """What went wrong (RFC 9457). Programs look at `code`, people read `detail`."""

    type: Annotated[str, Meta(examples=[f"urn:taskcore:problem:{Invalid.code}"])]
    title: Annotated[str, Meta(examples=[Invalid.title])]
    status: Annotated[int, Meta(examples=[STATUS[Invalid]])]
    detail: Annotated[str, Meta(examples=[Invalid.title])]
    code: Annotated[str, Meta(examples=[Invalid.code])]
    request_id: Annotated[str, Meta(examples=["4d5f6c0e8b7a4f3e9d2c1b0a99887766"])]
    errors: list[FieldProblem] | UnsetType = UNSET


class HttpProblem(Exception):
    """A refusal that only HTTP knows."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: list[FieldProblem] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.errors = dict(headers or {}), errors


_TITLES = {kind.code: kind.title for kind in STATUS}  # of a refusal that HTTP makes as well


def status_of(error: type[TaskcoreError]) -> int:
    return next(STATUS[kind] for kind in error.__mro__ if kind in STATUS)


def problem(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
    title: str | None = None,
) -> Response[ProblemView]:
    return Response(
        ProblemView(
            type=f"urn:taskcore:problem:{code}",
            title=title or _TITLES.get(code) or HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            code=code,
            request_id=scope["state"]["request_id"],
            errors=errors or UNSET,
        ),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


async def send_problem(scope: Scope, send: Send, refusal: HttpProblem) -> None:
    """For what is refused before the framework sees it."""
    response = problem(
        scope,
        refusal.status,
        refusal.code,
        refusal.detail,
        headers=refusal.headers,
        errors=refusal.errors,
    )
    body = msgspec.json.encode(response.content)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body))} | response.headers
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


Asked = Request[Any, Any, Any]


def _core_refused(request: Asked, error: TaskcoreError) -> Response[ProblemView]:
    status = status_of(type(error))
    headers: dict[str, str] = {}
    errors: list[FieldProblem] | None = None
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = _challenge(error)
    if isinstance(error, (TooMany, Unavailable)):
        headers["Retry-After"] = str(max(1, ceil(error.retry_after)))
    if isinstance(error, TooMany) and (limit := request.route_handler.opt.get(LIMITED)):
        # The IETF's draft "RateLimit header fields for HTTP". The numbers are those of the limit
        # that people meet first, whichever it was: which one holds them up is not for everybody.
        name, seconds = limit.name, int(limit.period.total_seconds())
        headers["RateLimit-Policy"] = f'"{name}";q={limit.quota};w={seconds}'
        headers["RateLimit"] = f'"{name}";r=0;t={headers["Retry-After"]}'
    if isinstance(error, Invalid):
        errors = [_located(request, p.field, p.detail, p.code) for p in error.problems]
    detail = error.detail if errors is None else error.title
    return problem(
        request.scope,
        status,
        error.code,
        detail,
        headers=headers,
        errors=errors,
        title=error.title,
    )


def _challenge(error: Unauthenticated) -> str:
    """RFC 6750 section 3: no error code for who sent no credentials."""
    challenge = 'Bearer realm="taskcore"'
    if isinstance(error, InvalidToken):
        challenge += ', error="invalid_token"'
    if isinstance(error, ExpiredToken):
        challenge += ', error_description="The token has expired"'
    return challenge


def _located(request: Asked, field: str, detail: str, code: str) -> FieldProblem:
    """Reads take their input from the query, writes from the body."""
    if request.method == "GET":
        return FieldProblem(detail, code, parameter=field)
    return FieldProblem(detail, code, pointer=f"/{field}" if field else "")


def _shape_refused(request: Asked, error: ValidationException) -> Response[ProblemView]:
    """422: it could be read, but is not what the operation takes."""
    found = error.extra if isinstance(error.extra, list) else []
    errors = [_shape_problem(entry) for entry in found if isinstance(entry, dict)]
    return problem(
        request.scope, 422, Invalid.code, Invalid.title, errors=errors, title=Invalid.title
    )


_FIELD = re.compile(r"`(?P<field>.*)`", re.DOTALL)
# The beginnings of msgspec's messages.
_SHAPE_CODES = {
    "Object missing required field": ("is required", "required"),
    "Object contains unknown field": ("is not a field of this object", "unknown_field"),
    "Missing required": ("is required", "required"),
}


def _shape_problem(entry: Mapping[str, Any]) -> FieldProblem:
    message, key = str(entry.get("message", "")), str(entry.get("key", ""))
    detail, code = message, "wrong_type"
    for start, (sentence, slug) in _SHAPE_CODES.items():
        if message.startswith(start) and (named := _FIELD.search(message)):
            return FieldProblem(sentence, slug, pointer=_pointer(named["field"]))
    if message.startswith("must be a whole number"):
        code = "out_of_range"
    if entry.get("source") not in (None, "body"):
        return FieldProblem(detail, code, parameter=key)
    if key == "data":  # the framework's word for the body as a whole
        return FieldProblem("a JSON object is required", "required", pointer="")
    return FieldProblem(detail, code, pointer=_pointer(key))


def _pointer(key: str) -> str:
    """RFC 6901, to a field of the body."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _http_refused(request: Asked, error: HTTPException) -> Response[ProblemView]:
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _failed(request, error)
    code, detail = _HTTP.get(status, (HTTPStatus(status).phrase.lower().replace(" ", "_"), ""))
    return problem(
        request.scope,
        status,
        code,
        detail or HTTPStatus(status).phrase,
        headers=error.headers or {},  # a 405 carries its Allow there
    )


_HTTP = {
    400: ("malformed_request", "The request cannot be read; send well-formed JSON in UTF-8"),
    404: (NotFound.code, NotFound.title),
    405: ("method_not_allowed", "This resource does not know the method; see Allow"),
    413: ("body_too_large", "The body is larger than this service takes"),
}


def _edge_refused(request: Asked, error: HttpProblem) -> Response[ProblemView]:
    return problem(
        request.scope,
        error.status,
        error.code,
        error.detail,
        headers=error.headers,
        errors=error.errors,
    )


def _unreadable(request: Asked, error: Exception) -> Response[ProblemView]:
    """What msgspec lets through of broken UTF-8 and of JSON nested beyond any use."""
    log.warning("request.unreadable", error=type(error).__name__)
    return problem(request.scope, 400, *_HTTP[400])


def _failed(request: Asked, error: Exception) -> Response[ProblemView]:
    """A mistake of ours: loud in the log, silent to the client."""
    log.error("request.failed", exc_info=error)
    return problem(
        request.scope,
        500,
        "internal_error",
        "Something went wrong on our side; the request id helps to find out what",
    )


HANDLERS: ExceptionHandlersMap = {
    TaskcoreError: _core_refused,
    HttpProblem: _edge_refused,
    ValidationException: _shape_refused,
    HTTPException: _http_refused,
    UnicodeDecodeError: _unreadable,
    RecursionError: _unreadable,
    Exception: _failed,
}
