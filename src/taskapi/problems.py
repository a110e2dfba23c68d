"""Errors over HTTP: every exception becomes an RFC 9457 problem here."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from math import ceil
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ExceptionHandlersMap, Scope, Send
from msgspec import UNSET, Meta, Struct, UnsetType

from taskapi.expectations import expected, fields_taken
from taskapi.query import NOT_AN_INTEGER
from taskapi.request_state import request_state
from taskapi.responses import fields_shown
from taskcore import (
    Conflict,
    CursorExpired,
    ExpiredToken,
    Forbidden,
    Invalid,
    InvalidToken,
    KeyInProgress,
    Misconfigured,
    NotFound,
    StaleWrite,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from taskcore.domain import idempotency

log = structlog.get_logger("taskapi")

MEDIA_TYPE = "application/problem+json"
# Keys in the `opt` of a handler: the core's errors that it may raise, the rate limit that its 429
# describes (stricter ones may apply to some clients), and the conditional headers that it reads.
MAY_REFUSE = "may_refuse"
LIMITED = "limited"
READS = "reads"
AnyRequest = Request[Any, Any, Any]  # Litestar's type; at run time it is an ActorRequest

# The most specific class wins.
STATUS: Mapping[type[TaskcoreError], int] = {
    Invalid: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    StaleWrite: 412,
    CursorExpired: 410,
    TooMany: 429,
    Unavailable: 503,
    Misconfigured: 500,
}


# The code and the detail of refusals by HTTP alone.
BY_STATUS = {
    400: ("malformed_request", "The request cannot be read; send well-formed JSON in UTF-8"),
    404: (NotFound.code, NotFound.title),
    405: ("method_not_allowed", "This resource does not know the method; see Allow"),
    413: ("body_too_large", "The body is larger than this service takes"),
    415: ("unsupported_media_type", "Send the body as application/json in UTF-8"),
    431: ("headers_too_large", "The headers are larger than any that help"),
    500: ("internal_error", "Something went wrong on our side; the request id helps to find it"),
    501: ("unsupported_transfer_encoding", "Only `chunked` is understood"),
}
UNKNOWN_HOST = ("unknown_host", "This service has another name")
NOT_UTF_8 = ("malformed_request", "Percent-encode the query as UTF-8: `f%C3%BCr` is `für`")
SEVERAL_CREDENTIALS = ("several_credentials", "Send one Authorization header")


# Of a category of which only the members are raised, and of what ends a start.
_NEVER_ANSWERED = {Conflict.code, Misconfigured.code}


def _codes() -> Iterator[str]:
    """Each code that an answer can have: see docs/decisions/0040 before you add one."""
    by_http = [*BY_STATUS.values(), UNKNOWN_HOST, NOT_UTF_8, SEVERAL_CREDENTIALS]
    by_the_core = {kind.code for kind in kinds_of(TaskcoreError)} - _NEVER_ANSWERED
    yield from sorted(by_the_core | {code for code, _ in by_http})


def kinds_of(kind: type[TaskcoreError]) -> Iterator[type[TaskcoreError]]:
    """All errors below it in the tree."""
    for each in kind.__subclasses__():
        yield each
        yield from kinds_of(each)


REQUEST_ID = "4d5f6c0e8b7a4f3e9d2c1b0a99887766"  # in examples


class FieldProblem(Struct, omit_defaults=True):
    """One broken rule: where (a JSON pointer into the body, or a parameter's name) and why."""

    detail: Annotated[str, Meta(examples=["needs at least 1 character"])]
    code: Annotated[str, Meta(description="Names the rule", examples=["too_short"])]
    pointer: Annotated[str, Meta(examples=["/title"])] | UnsetType = UNSET
    parameter: str | UnsetType = UNSET


class ProblemView(Struct, omit_defaults=True):
    """What went wrong (RFC 9457). Programs look at `code`, people read `detail`."""

    type: Annotated[str, Meta(examples=[f"urn:taskcore:problem:{Invalid.code}"])]
    title: Annotated[str, Meta(examples=[Invalid.title])]
    status: Annotated[int, Meta(ge=400, le=599, examples=[STATUS[Invalid]])]
    detail: Annotated[str, Meta(examples=["title: needs at least 1 character"])]
    code: Annotated[
        str,
        Meta(
            title="ProblemCode", examples=[Invalid.code], extra_json_schema={"enum": list(_codes())}
        ),
    ]
    request_id: Annotated[str, Meta(examples=[REQUEST_ID])]
    errors: list[FieldProblem] | UnsetType = UNSET


class HttpProblem(Exception):
    """What a problem response says; raised for errors of HTTP alone, unknown to the core."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: list[FieldProblem] | None = None,
        title: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.errors = dict(headers or {}), errors
        self.title = title or _TITLES.get(code) or HTTPStatus(status).phrase


_TITLES = {kind.code: kind.title for kind in STATUS}  # also for an HttpProblem with such a code


def broken_rules(
    errors: list[FieldProblem], code: str = Invalid.code, title: str = Invalid.title
) -> HttpProblem:
    """A 422. Its detail is that of the only error, if there is one, and else its title."""
    detail = title
    if code == Invalid.code and len(errors) == 1:
        (error,) = errors
        place = error.parameter or (error.pointer or "").removeprefix("/")
        detail = f"{place}: {error.detail}" if place else error.detail
    return HttpProblem(STATUS[Invalid], code, detail, None, errors, title)


def status_of(error: type[TaskcoreError]) -> int:
    return next(STATUS[kind] for kind in error.__mro__ if kind in STATUS)


def view(problem: HttpProblem, request_id: str) -> ProblemView:
    return ProblemView(
        type=f"urn:taskcore:problem:{problem.code}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
        request_id=request_id,
        errors=problem.errors or UNSET,
    )


def _response(request: AnyRequest, problem: HttpProblem) -> Response[ProblemView]:
    return Response(
        view(problem, request_state(request.scope).request_id),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


async def send_problem(scope: Scope, send: Send, problem: HttpProblem) -> None:
    """For a request that never reaches Litestar."""
    body = msgspec.json.encode(view(problem, request_state(scope).request_id))
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body))} | problem.headers
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _core_error(request: AnyRequest, error: TaskcoreError) -> Response[ProblemView]:
    headers: dict[str, str] = {}
    errors: list[FieldProblem] | None = None
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = _challenge(error)
    if isinstance(error, (TooMany, Unavailable, KeyInProgress)):
        headers["Retry-After"] = str(max(1, ceil(error.retry_after)))
    if isinstance(error, TooMany) and (limit := request.route_handler.opt.get(LIMITED)):
        # The IETF's draft "RateLimit header fields for HTTP". Always the numbers of the documented
        # limit: which of the others refused the request is not for clients to know.
        name, seconds = limit.name, int(limit.period.total_seconds())
        headers["RateLimit-Policy"] = f'"{name}";q={limit.quota};w={seconds}'
        headers["RateLimit"] = f'"{name}";r=0;t={headers["Retry-After"]}'
    if isinstance(error, Invalid):
        errors = [_field_problem(request, p.field, p.detail, p.code) for p in error.problems]
        return _response(request, broken_rules(errors, error.code, error.title))
    if error.field:
        errors = [_field_problem(request, error.field, error.detail, error.code)]
    status = status_of(type(error))
    problem = HttpProblem(status, error.code, error.detail, headers, errors, error.title)
    return _response(request, problem)


def _challenge(error: Unauthenticated) -> str:
    """RFC 6750 section 3: no error code if the request had no credentials."""
    challenge = 'Bearer realm="taskcore"'
    if isinstance(error, InvalidToken):
        challenge += ', error="invalid_token"'
    if isinstance(error, ExpiredToken):
        challenge += ', error_description="The token has expired"'
    return challenge


def _field_problem(request: AnyRequest, field: str, detail: str, code: str) -> FieldProblem:
    """A GET takes its input from the query, other methods from the body and one header."""
    if field == idempotency.FIELD:
        return FieldProblem(detail, code, parameter="Idempotency-Key")
    if request.method == "GET":
        return FieldProblem(detail, code, parameter=field)
    return FieldProblem(detail, code, pointer=f"/{field}" if field else "")


def _shape_error(request: AnyRequest, error: ValidationException) -> Response[ProblemView]:
    """422: the request was parsed, but has the wrong types or fields."""
    entries = error.extra if isinstance(error.extra, list) else []
    handler = request.route_handler
    errors = [_shape_problem(entry, handler) for entry in entries if isinstance(entry, dict)]
    return _response(request, broken_rules(errors))


_FIELD = re.compile(r"`(?P<field>.*)`", re.DOTALL)
# By the beginnings of msgspec's messages.
_SHAPE_CODES = {
    "Object missing required field": ("is required", "required"),
    "Object contains unknown field": ("is not a field of this object", "unknown_field"),
    "Missing required": ("is required", "required"),
}


def _shape_problem(entry: Mapping[str, Any], handler: HTTPRouteHandler) -> FieldProblem:
    """In our own words, because the messages of msgspec name types of Python.

    A field that the handler does not take, but returns, is read-only.
    """
    returned, data = handler.parsed_return_field.annotation, handler.parsed_data_field
    body = data.annotation if data else object
    message, key = str(entry.get("message", "")), str(entry.get("key", ""))
    for start, (text, slug) in _SHAPE_CODES.items():
        if message.startswith(start) and (match := _FIELD.search(message)):
            pointer, in_items = _pointer(match["field"]), key not in {"", "data"}
            if in_items:
                pointer = _pointer_to(key) + pointer
            # Each operation of a bulk is an item too, but no view shows it.
            is_shown = match["field"] in fields_shown(returned, in_items=in_items)
            if slug == "unknown_field" and is_shown and not key.endswith("]"):
                detail = "cannot be written here"
                if pointer == "/version" and "If-Match" in handler.opt.get(READS, ()):
                    detail += "; to edit that version alone, send it as If-Match"
                return FieldProblem(detail, "read_only", pointer=pointer)
            taken = fields_taken(body, key if in_items else "") if slug == "unknown_field" else ""
            detail = f"{text}, which takes {taken}" if taken else text
            return FieldProblem(detail, slug, pointer=pointer)
    if entry.get("source") not in (None, "body"):
        return _parameter_problem(message, key)
    if key == "data":  # Litestar's name for the whole body
        return FieldProblem("a JSON object is required", "required", pointer="")
    if message.startswith("Expected ") and message.endswith(", got `null`"):
        return FieldProblem("must not be null", "not_nullable", pointer=_pointer_to(key))
    return FieldProblem(expected(body, key), "wrong_type", pointer=_pointer_to(key))


def _parameter_problem(message: str, name: str) -> FieldProblem:
    if message.startswith(NOT_AN_INTEGER):
        return FieldProblem(message, "out_of_range", parameter=name)
    return FieldProblem("is of the wrong type", "wrong_type", parameter=name)


def _pointer(key: str) -> str:
    """The JSON pointer (RFC 6901) to a field of the body."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _pointer_to(path: str) -> str:
    """The pointer to msgspec's `labels[0]` or `operations[3].title`; all are names of ours."""
    return "/" + path.replace("[", "/").replace("]", "").replace(".", "/")


def _http_error(request: AnyRequest, error: HTTPException) -> Response[ProblemView]:
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _internal_error(request, error)
    phrase = HTTPStatus(status).phrase
    code, detail = BY_STATUS.get(status, (BY_STATUS[400][0], phrase))
    headers = error.headers  # the Allow of a 405
    return _response(request, HttpProblem(status, code, detail, headers))


def _unreadable(request: AnyRequest, error: Exception) -> Response[ProblemView]:
    """Broken UTF-8 and too deeply nested JSON, for which msgspec raises no error of its own."""
    log.warning("request.unreadable", error=type(error).__name__)
    return _response(request, HttpProblem(400, *BY_STATUS[400]))


def _internal_error(request: AnyRequest, error: Exception) -> Response[ProblemView]:
    """A bug: the traceback goes to the log, and no detail to the client."""
    log.error("request.failed", exc_info=error)
    return _response(request, HttpProblem(500, *BY_STATUS[500]))


HANDLERS: ExceptionHandlersMap = {
    TaskcoreError: _core_error,
    HttpProblem: _response,
    ValidationException: _shape_error,
    HTTPException: _http_error,
    UnicodeDecodeError: _unreadable,
    RecursionError: _unreadable,
    Exception: _internal_error,
}
