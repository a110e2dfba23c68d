"""A table that fits the terminal: which columns it shows, and how wide."""

import re
from collections.abc import Iterator, Mapping, Sequence

_GAP = 2  # spaces; visible cells hold no two in a row, so data forges no column
_ELLIPSIS = "…"
# Only these columns may be shortened (with an ellipsis, to at least _SHORTEST). Ids, dates and
# addresses are for copying: shown whole, or the column is dropped.
_PROSE = {"title", "labels", "full_name", "user_agent", "by", "detail"}
_SHORTEST = 10
# The column that people look for. Before it is shortened, other free text is, dates lose their
# seconds, and the columns below are dropped in this order, until the title is whole or has half of
# the terminal. Before all these goes a column that no list here names.
_SOUGHT = "title"
_LESS_IMPORTANT = (
    *("version", "user_agent", "full_name", "detail", "ip", "labels"),
    *("created_at", "last_used_at", "updated_at", "is_active", "role", "user_id", "actor"),
    *("priority", "owner_id"),
)
# Dropped only if the title would get less than _SHORTEST.
_IMPORTANT = ("due", "status")
# These stay; the terminal wraps lines that are still too long.
_KEPT = ("id", "title", "email", "event", "type", "at", "deleted_at")
_SECONDS = re.compile(r"(?<=\d\d:\d\d):\d\d(?=(?:Z|[+-]\d\d:\d\d)\Z)")

_Cells = Mapping[str, Sequence[str]]


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[str, list[str]]:
    """The table of visible cells, and the columns that were dropped."""
    whole = {name: [row[number] for row in rows] for number, name in enumerate(columns)}
    cells: _Cells = whole
    for cells, sought in _shorter_and_shorter(whole, width // 2):
        if _total(_least_widths(cells, sought)) <= width:
            break
    widths = _widths(cells, width)
    lines = [_line(list(cells), widths), "─" * min(width, _total(widths) + 1)]
    lines += [_line(row, widths) for row in zip(*cells.values(), strict=True)]
    return "".join(f"{line}\n" for line in lines), [name for name in columns if name not in cells]


def _shorter_and_shorter(cells: _Cells, half: int) -> Iterator[tuple[_Cells, int]]:
    """What to show, if it fits, and the width to which the title may then be shortened."""
    yield cells, half
    dated = {name for name in cells if name == "at" or name.endswith("_at")}
    cells = dict(cells) | {name: [_SECONDS.sub("", cell) for cell in cells[name]] for name in dated}
    yield cells, half
    known = {*_LESS_IMPORTANT, *_IMPORTANT, *_KEPT}
    unknown = [name for name in cells if name not in known]
    for names, sought in (([*unknown, *_LESS_IMPORTANT], half), (_IMPORTANT, _SHORTEST)):
        for name in names:
            if name in cells:
                cells = {other: column for other, column in cells.items() if other != name}
                yield cells, sought
        yield cells, _SHORTEST


def _natural_widths(cells: _Cells) -> dict[str, int]:
    # Imported only for a terminal: rich takes a while.
    from rich.cells import cell_len  # noqa: PLC0415

    return {name: max(map(cell_len, (name, *column))) for name, column in cells.items()}


def _least_widths(cells: _Cells, sought: int) -> dict[str, int]:
    """The least width of each column; `sought` is that of the title."""
    least = _natural_widths(cells)
    for name in _PROSE & set(cells):
        shortest = sought if name == _SOUGHT else _SHORTEST
        least[name] = min(least[name], max(shortest, len(name)))
    return least


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _widths(cells: _Cells, width: int) -> dict[str, int]:
    """The width of each column. To fit, the widest free text is shortened first, the title last."""
    widths, least = _natural_widths(cells), _least_widths(cells, _SHORTEST)
    while _total(widths) > width:
        prose = [name for name in widths if widths[name] > least[name]]
        if not prose:
            break
        widths[max(prose, key=lambda name: (name != _SOUGHT, widths[name]))] -= 1
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


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a visible text; a word that is longer than a line is cut into several."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415

    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if cell_len(longer) <= width:
            lines[-1:] = [longer]
        else:
            lines += chop_cells(word, width)
    return lines
