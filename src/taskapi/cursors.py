"""Cursors over HTTP: the parameter and field, and the `Link` header to the next page."""

from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta

from taskapi.paths import PREFIX


def _of(example: str) -> Meta:
    return Meta(
        description="Where to read on: the `next_cursor` of the page before", examples=[example]
    )


# Each list takes only its own cursors.
TaskCursor = Annotated[str, _of("dGFza3MgMQ")]
TrashCursor = Annotated[str, _of("dHJhc2ggMjAyNi0wMS0zMVQwOTozMDowMCswMDowMCAx")]
LabelCursor = Annotated[str, _of("bGFiZWxzIGdhcmRlbg")]
UserCursor = Annotated[str, _of("dXNlcnMgMQ")]
EventCursor = Annotated[str, _of("YXVkaXQgMjAyNi0wMS0zMVQwOTozMDowMCswMDowMCAx")]
OwnEventCursor = Annotated[str, _of("b3duIGV2ZW50cyAyMDI2LTAxLTMxVDA5OjMwOjAwKzAwOjAwIDE")]
HistoryCursor = Annotated[str, _of("aGlzdG9yeSAxIDM")]
ChangesCursor = Annotated[
    str,
    Meta(
        description="Where to read on: the `cursor` of a page, or the `id` of an event of the "
        "stream; it belongs to your account",
        examples=["Y2hhbmdlcyAxIDE3NjcxNzE3MTcgNDI"],
    ),
]


def next_page(path: str, cursor: str | None, limit: int, **filters: object) -> dict[str, str]:
    """The `Link` header to the page at `cursor`.

    No header if `cursor` is None, which it is on the last page. `filters` are the other query
    parameters of the request. Those that are None or empty were not sent, and the link leaves them
    out.
    """
    if cursor is None:
        return {}
    named = {name: value for name, value in filters.items() if value not in (None, ())}
    # A cursor needs no escapes; most links are without filters, and `urlencode` is slow.
    query = f"limit={limit}&cursor={cursor}" + (f"&{urlencode(named, doseq=True)}" if named else "")
    return {"Link": f'<{PREFIX}{path}?{query}>; rel="next"'}
