"""Cursors over HTTP: the parameter and field, and the `Link` header to the next page."""

from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta

from taskapi.paths import PREFIX

Cursor = Annotated[
    str,
    Meta(
        description="Where to read on: the `next_cursor` of the page before",
        examples=["dGFza3MgMQ"],
    ),
]


def next_page(path: str, cursor: str | None, limit: int, **filters: object) -> dict[str, str]:
    """The header that links to the page at the cursor; none after the last page.

    `filters` are the other parameters of the query; those of None were not sent.
    """
    if cursor is None:
        return {}
    named = {name: value for name, value in filters.items() if value is not None}
    query = urlencode({"limit": limit, "cursor": cursor} | named)
    return {"Link": f'<{PREFIX}{path}?{query}>; rel="next"'}
