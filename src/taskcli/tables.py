"""A table that fits the terminal: which columns it shows, and how wide."""

import re
from collections.abc import Sequence

_GAP = 2  # spaces; visible cells hold no two in a row, so data forges no column
_ELLIPSIS = "…"
# Free text is shortened first, with an ellipsis, to this width at least. What people copy from
# here, such as ids and addresses, is never cut.
_PROSE = {"title", "labels", "full_name", "user_agent", "by", "detail"}
_SHORTEST = 10
# If that is not enough, dates lose their seconds, and then columns are left out in this order.
# Columns that are not named stay; the terminal wraps lines of those that are still too long.
_LEAST_IMPORTANT_FIRST = (
    *("version", "user_agent", "full_name", "detail", "ip", "labels"),
    *("created_at", "last_used_at", "updated_at", "is_active", "role", "owner_id", "user_id"),
    *("priority", "due", "status"),
)
_SECONDS = re.compile(r"(?<=\d\d:\d\d):\d\d(?=Z\Z)")


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[str, list[str]]:
    """The table of visible cells, and the columns that it leaves out."""
    cells = {name: [row[number] for row in rows] for number, name in enumerate(columns)}
    if not _fits(cells, width):
        dated = {name for name in cells if name == "at" or name.endswith("_at")}
        cells |= {name: [_SECONDS.sub("", cell) for cell in cells[name]] for name in dated}
    for name in _LEAST_IMPORTANT_FIRST:
        if not _fits(cells, width):
            cells.pop(name, None)
    widths = _widths(cells, width)
    lines = [
        _line(list(cells), widths),
        "─" * min(width, sum(widths.values()) + _GAP * len(widths) - 1),
    ]
    lines += [_line(row, widths) for row in zip(*cells.values(), strict=True)]
    return "".join(f"{line}\n" for line in lines), [name for name in columns if name not in cells]


def _natural(name: str, cells: Sequence[str]) -> int:
    # Imported only for a terminal: rich takes a while.
    from rich.cells import cell_len  # noqa: PLC0415

    return max(map(cell_len, (name, *cells)))


def _fits(cells: dict[str, list[str]], width: int) -> bool:
    least = 0
    for name, column in cells.items():
        natural = _natural(name, column)
        least += _GAP + (min(natural, max(_SHORTEST, len(name))) if name in _PROSE else natural)
    return least - _GAP <= width


def _widths(cells: dict[str, list[str]], width: int) -> dict[str, int]:
    """The natural widths, but for prose, the widest of which gives way first."""
    widths = {name: _natural(name, column) for name, column in cells.items()}
    prose = [name for name in widths if name in _PROSE]
    while prose and sum(widths.values()) + _GAP * (len(widths) - 1) > width:
        widest = max(prose, key=lambda name: widths[name])
        if widths[widest] <= max(_SHORTEST, len(widest)):
            break
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: dict[str, int]) -> str:
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415

    shown = []
    for cell, width in zip(cells, widths.values(), strict=True):
        if cell_len(cell) <= width:
            shown.append(cell + " " * (width - cell_len(cell)))
        else:
            shown.append(set_cell_size(cell, width - 1) + _ELLIPSIS)
    return (" " * _GAP).join(shown).rstrip()
