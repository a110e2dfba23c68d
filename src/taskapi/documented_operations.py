"""An operation in the OpenAPI document: its parameters, body, successes and refusals."""

import inspect
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import get_args, get_type_hints

import msgspec
from litestar.enums import ParamType
from litestar.handlers import HTTPRouteHandler
from litestar.params import ParameterKwarg
from msgspec import Struct

from taskapi.documented_headers import (
    ALWAYS,
    CONDITION_SCHEMAS,
    CONDITIONS,
    HEADERS_BY_STATUS,
    KEY,
)
from taskapi.documented_schemas import Json, Schemas, reference
from taskapi.expectations import expected
from taskapi.fields import Id
from taskapi.idempotency import HEADER, PATTERN, REPLAYED, takes_key
from taskapi.parameters import unknown
from taskapi.problems import (
    BY_STATUS,
    LIMITED,
    MAY_REFUSE,
    MEDIA_TYPE,
    NOT_UTF_8,
    READS,
    REQUEST_ID,
    SEVERAL_CREDENTIALS,
    UNKNOWN_HOST,
    FieldProblem,
    HttpProblem,
    ProblemView,
    broken_rules,
    kinds_of,
    status_of,
    view,
)
from taskapi.providers import administers, logged_in
from taskapi.query import QueryInt, is_query_int
from taskapi.responses import struct_in
from taskcore import (
    ExpiredToken,
    Invalid,
    InvalidToken,
    KeyInProgress,
    KeyReused,
    OutcomeUnknown,
    TaskcoreError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from taskcore.domain.idempotency import REUSED as KEY_REUSED

# Keys in the `opt` of a handler: the response headers that it sends on success, besides those of
# every response.
SENDS = "sends"
STREAMS = "streams"  # its success is a stream of server-sent events, each with such an object


# Any statement can tell that another process has changed the schema or the rights.
_UNAVAILABLE: tuple[type[TaskcoreError], ...] = (
    Unavailable,
    *(each for each in kinds_of(Unavailable) if each is not OutcomeUnknown),
)


def method(handler: HTTPRouteHandler) -> str:
    (method,) = handler.http_methods
    return method.lower()


class Operation:
    def __init__(self, path: str, handler: HTTPRouteHandler) -> None:
        self.path, self._handler = path, handler
        self.name, self.method = str(handler.operation_id), method(handler)
        self._hints = get_type_hints(handler.fn, include_extras=True)
        self._body = struct_in(self._hints.get("data"))
        self.success = struct_in(self._hints["return"])
        self._errors: tuple[type[TaskcoreError], ...] = handler.opt.get(MAY_REFUSE, ())
        self._conditions: tuple[str, ...] = handler.opt.get(READS, ())
        self._takes_key = takes_key(handler)
        self._is_protected = handler.resolve_before_request() in {logged_in, administers}

    @property
    def shapes(self) -> list[type[Struct]]:
        return [shape for shape in (self._body, self.success) if shape]

    def as_json(self, schemas: Schemas, others: Sequence["Operation"]) -> Json:
        """`others` are all operations of the document."""
        text = inspect.getdoc(self._handler.fn) or ""
        summary, _, description = text.partition("\n")
        operation: Json = {
            "operationId": self.name,
            "summary": summary.rstrip("."),
            "description": description.strip() or summary,
            "tags": sorted(
                {tag for layer in self._handler.ownership_layers for tag in layer.tags or ()}
            ),
        }
        if parameters := list(self._parameters(schemas)):
            operation["parameters"] = parameters
        if self._body:
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": reference(self._body)}},
            }
        operation["security"] = [{"bearer": []}] if self._is_protected else []
        operation["responses"] = self._responses(self._links(others))
        return operation

    def _links(self, others: Sequence["Operation"]) -> Json:
        """From an operation that creates an object to those on that object.

        For API explorers and fuzzers. The object is where a GET shows the same, in the collection
        below which it is created: `/tasks/{task_id}` for what POST `/tasks` returns.
        """
        if self._handler.status_code != HTTPStatus.CREATED:
            return {}
        for each in others:
            collection, _, parameter = each.path.rpartition("/")
            is_shown = each.method == "get" and each.success is self.success
            if is_shown and parameter.startswith("{") and self.path.startswith(collection):
                link = {"parameters": {parameter.strip("{}"): "$response.body#/id"}}
                names = [it.name for it in others if it.path.startswith(each.path)]
                return {name: {"operationId": name, **link} for name in names}
        return {}

    def _parameters(self, schemas: Schemas) -> Iterator[Json]:
        signature = inspect.signature(self._handler.fn)
        for name, hint in self._hints.items():
            metadata = getattr(hint, "__metadata__", ())
            parameter = next((each for each in metadata if isinstance(each, ParameterKwarg)), None)
            if parameter is None:
                continue
            schema = schemas.of_parameter(hint)
            if parameter.param_type is ParamType.PATH:
                is_number = "format" not in schema
                kind = "a whole number from 1" if is_number else "a canonical UUID"
                yield {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "description": f"Anything but {kind} names nothing: 404",
                    "schema": schemas.of_parameter(Id) if is_number else schema,
                }
                continue
            description = parameter.description or schema.pop("description", "")
            default = signature.parameters[name].default
            if isinstance(default, QueryInt) and default >= default.low:
                schema["default"] = default
            yield {
                "name": parameter.name or name,
                "in": parameter.param_type.value,
                "required": False,
                "description": description,
                "schema": schema,
            }
        for name in self._conditions:
            yield {
                "name": name,
                "in": "header",
                "required": False,
                "description": CONDITIONS[name],
                "schema": {"type": "string", **CONDITION_SCHEMAS.get(name, {})},
            }

        if self._takes_key:
            yield {
                "name": HEADER,
                "in": "header",
                "required": False,
                "description": KEY,
                "schema": {"type": "string", "pattern": PATTERN},
            }

    def _responses(self, links: Json) -> Json:
        status = self._handler.status_code
        sends = (*self._handler.opt.get(SENDS, ()), *([REPLAYED] if self._takes_key else []))
        success: Json = {
            "description": HTTPStatus(status).phrase,
            "headers": _references((*ALWAYS, *sends)),
        }
        if self.success:
            success["content"] = (
                {"text/event-stream": {"schema": _stream_of(self.success)}}
                if STREAMS in self._handler.opt
                else {"application/json": {"schema": reference(self.success)}}
            )
        if links:
            success["links"] = links
        responses = {str(status): success}
        if "If-None-Match" in self._conditions:
            responses["304"] = {
                "description": "You have this version already",
                "headers": _references((*ALWAYS, "ETag")),
            }
        for code, refusals in self.refusals().items():
            responses[str(code)] = {
                "description": ". ".join(f"`{each.code}`: {each.detail}" for each in refusals),
                "headers": _references((*ALWAYS, *self._headers(code))),
                "content": {
                    MEDIA_TYPE: {
                        "schema": reference(ProblemView),
                        "examples": {each.code: _shown(each) for each in refusals},
                    }
                },
            }
        return responses

    def _headers(self, status: int) -> tuple[str, ...]:
        headers = HEADERS_BY_STATUS.get(status, ())
        if status == HTTPStatus.TOO_MANY_REQUESTS and LIMITED not in self._handler.opt:
            return headers[:1]
        return headers

    def refusals(self) -> dict[int, list[HttpProblem]]:
        """By status: this operation's errors, and those of its body, login and query."""
        errors: list[type[TaskcoreError]] = [*self._errors, Invalid, *_UNAVAILABLE]
        if self.method != "get":
            errors.append(OutcomeUnknown)
        if self._takes_key:
            errors += [KeyInProgress, KeyReused, TooMany]
        other = [(400, UNKNOWN_HOST), (500, BY_STATUS[500])]
        if self._is_protected:
            errors += [Unauthenticated, InvalidToken, ExpiredToken]
            other += [(400, SEVERAL_CREDENTIALS)]
        if self._body:
            other += [(status, BY_STATUS[status]) for status in (400, 413, 415)]
        elif self._is_protected:
            other += [(400, NOT_UTF_8)]
        found: dict[int, list[HttpProblem]] = {}
        for error in dict.fromkeys(errors):
            status = status_of(error)
            problem = HttpProblem(status, error.code, error.title, title=error.title)
            if error is Invalid:
                problem = broken_rules([self._broken_rule()])
            elif error is KeyReused:
                broken = FieldProblem(KEY_REUSED, error.code, parameter=HEADER)
                problem = broken_rules([broken], error.code, error.title)
            found.setdefault(status, []).append(problem)
        for status, (code, detail) in other:
            found.setdefault(status, []).append(HttpProblem(status, code, detail))
        return dict(sorted(found.items()))

    def _broken_rule(self) -> FieldProblem:
        """One that this operation has."""
        if self._body:
            field = msgspec.structs.fields(self._body)[0]
            if field.required:
                return FieldProblem("is required", "required", pointer=f"/{field.name}")
            detail = expected(self._body, field.name)
            return FieldProblem(detail, "wrong_type", pointer=f"/{field.name}")
        for name, hint in self._hints.items():
            kind = get_args(hint)[0] if get_args(hint) else hint
            if name == "limit" and is_query_int(kind):
                return FieldProblem(kind.refusal(), "out_of_range", parameter=name)
        return FieldProblem(unknown("verbose", {}), "unknown_parameter", parameter="verbose")


def _shown(refusal: HttpProblem) -> Json:
    if is_the_same_everywhere(refusal):
        return {"$ref": f"#/components/examples/{refusal.code}"}
    return written(refusal)


def written(refusal: HttpProblem) -> Json:
    return {"value": msgspec.to_builtins(view(refusal, REQUEST_ID))}


def is_the_same_everywhere(refusal: HttpProblem) -> bool:
    return refusal.code not in {Invalid.code, NOT_UTF_8[0]}


def _stream_of(shape: type[Struct]) -> Json:
    """OpenAPI 3.1 describes the whole of a stream, which is a text."""
    data = f"The `data` of each event `change` is an object as in {reference(shape)['$ref']}"
    return {"type": "string", "description": data}


def _references(headers: tuple[str, ...]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
