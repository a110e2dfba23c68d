"""Cursors: opaque texts that say where the next page of tasks begins."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from typing import Annotated

from msgspec import Meta

from taskapi.paths import parse_id
from taskcore import Invalid, NotFound, Problem, TaskId

Cursor = Annotated[
    str,
    Meta(
        description="Where to read on: the `next_cursor` of the page before",
        examples=["YmVmb3JlIDE"],
    ),
]


def encode_cursor(last: TaskId) -> str:
    """The cursor of the page that begins after this task."""
    return urlsafe_b64encode(f"before {last}".encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> TaskId | None:
    """None for the first page. Raises Invalid for a text that `encode_cursor` never returns."""
    if not cursor:
        return None
    with suppress(ValueError, NotFound):
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        last = TaskId(parse_id(text.removeprefix("before ")))
        if encode_cursor(last) == cursor:
            return last
    detail = "is no cursor of ours; take the next_cursor of a page, or leave it out"
    raise Invalid(Problem("cursor", detail, "wrong_type"))
