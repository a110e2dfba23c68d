"""The headers of requests and responses in the OpenAPI document."""

from typing import Any

from taskapi.idempotency import REPLAYED


def _header(description: str, **schema: str | int) -> dict[str, Any]:
    return {"description": description, "schema": schema or {"type": "string"}}


HEADERS = {
    "ETag": _header("The version of the task"),
    "Location": _header("Where the task is, relative to the address of the request"),
    "Link": _header(
        'The next page, as `<…>; rel="next"`, relative to the address of the request; not sent with'
        " the last one"
    ),
    REPLAYED: _header("`true` if this is the answer of an earlier request; else absent"),
    "X-Request-Id": _header("Names this request in the log"),
    "WWW-Authenticate": _header("RFC 6750"),
    "Retry-After": _header("Seconds", type="integer", format="int64", minimum=1),
    "RateLimit-Policy": _header("The quota `q` in a window of `w` seconds"),
    "RateLimit": _header("The remaining quota `r`, and the seconds `t` until it grows"),
}
CONDITIONS = {
    "If-Match": 'The `ETag` that you have seen, with its quotes: `"3"`; several, or `*` for any. '
    "412 if the task has another one now",
    "If-None-Match": 'The `ETag` that you have, with its quotes: `"3"`; several, or `*` for any',
}
# RFC 9110 section 13.1.1, without the empty items that a list may have. What a write takes; a read
# ignores a condition that it does not understand.
_TAG = '(W/)?"[!#-~]*"'
CONDITION_SCHEMAS = {"If-Match": {"pattern": rf"^(\*|{_TAG}(\s*,\s*{_TAG}){{0,99}})$"}}
KEY = (
    "A text of your choice for this request, sent with each attempt: the work is done once, and"
    " later attempts within 24 hours get the same answer. As it is, or as a quoted string"
)
ALWAYS = ("X-Request-Id",)
HEADERS_BY_STATUS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit-Policy", "RateLimit"),
    503: ("Retry-After",),
}
