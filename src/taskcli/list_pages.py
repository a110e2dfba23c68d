"""Lists as people and programs see them: one page, or with `--all` every page."""

import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any, TypeVar

from taskcli.arguments import ALL, Paging
from taskcli.output import Record, cell, encoded, note, show_rows
from taskcli.standard_streams import is_terminal, write
from taskcli.tables import fitted, wrapped
from taskcore import Invalid, Page, Problem
from taskcore.cursors import Cursors
from taskcore.domain.printable import ascii_json, visible

Item = TypeVar("Item")

_INDENT = "    "


async def print_list(
    read: Callable[..., Awaitable[Page[Item]]],
    cursors: Cursors[Item, Any],
    paging: Paging,
    columns: Sequence[str],
    shape: Callable[[Item], Record],
    line: Callable[[Item], Record] | None = None,
    *,
    zone: tzinfo = UTC,
    beneath: Callable[[Item], Sequence[Sequence[str]]] | None = None,
) -> int:
    """Print a list, and return how many items were shown. Raises what `read` raises.

    `read` takes `skip`, `limit` and `after`, as the use cases that return pages. Programs see the
    fields that `shape` returns; people see the named columns of `line`, which is `shape` unless
    given, with the times of a clock in the zone. `beneath` returns what a terminal shows under the
    row instead of its last column, so that nothing is cut: texts in parts, and where a text has no
    room on one line, each part begins another.

    A terminal gets the rows when all are there, because it aligns them. Anything else gets them
    page by page, so that a long list takes no memory.
    """
    aligned = is_terminal() and not paging.as_json
    under = beneath if aligned else None
    columns = columns[:-1] if under else columns
    rows: list[list[str]] = []
    texts: list[Sequence[Sequence[str]]] = []
    count = 0

    def put(items: Sequence[Item]) -> None:
        nonlocal count, rows
        if paging.as_json:
            records = ", ".join(ascii_json(encoded(shape(item))) for item in items)
            write(", " + records if count and items else records)
        else:
            shown = map(line or shape, items)
            rows += [[cell(record[name], zone) for name in columns] for record in shown]
            texts.extend(map(under, items) if under else ())
            if rows and not aligned:
                show_rows(rows if count else [columns, *rows])
                rows = []
        count += len(items)

    try:
        after = cursors.read(paging.cursor)
        page = await read(skip=paging.skip, limit=paging.limit, after=after)
    except Invalid as refusal:
        raise Invalid(*map(_of_option, refusal.problems)) from None
    total = page.total
    if paging.as_json:
        write('{"items": [')
    put(page.items)
    while paging.every and (cursor := cursors.after(page)):
        page = await read(skip=0, limit=paging.limit, after=cursors.read(cursor))
        put(page.items)
    next_cursor = cursors.after(page)
    if paging.as_json:
        limit = count if paging.every else paging.limit
        rest = {"total": total, "skip": paging.skip, "limit": limit, "next_cursor": next_cursor}
        write(f"], {encoded(rest)[1:]}\n")
    else:
        if rows:
            _print_table(columns, rows, texts)
        _note_extent(paging, count, total, next_cursor)
    return count


def _of_option(problem: Problem) -> Problem:
    is_place = problem.field in {"skip", "cursor"}
    return replace(problem, field=f"--{problem.field}") if is_place else problem


def _note_extent(paging: Paging, count: int, total: int | None, next_cursor: str | None) -> None:
    """Say how much of the list was shown, unless that is the whole of a short one."""
    if not count:
        in_all = "" if total is None else f", {total} in all"
        note(f"none here{in_all}" if total or paging.cursor else "nothing found")
    elif next_cursor or paging.skip or paging.cursor or paging.every:
        counted = paging.cursor or paging.every
        which = f"{count}" if counted else f"{paging.skip + 1} to {paging.skip + count}"
        of = " shown" if total is None or paging.every else f" of {total}"
        rest = f"; --cursor {next_cursor} shows the next, {ALL} all" if next_cursor else ""
        note(which + of + rest)


def _print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    beneath: Sequence[Sequence[Sequence[str]]] = (),
) -> None:
    """Print a table that fits the terminal, with the texts beneath each row."""
    width = shutil.get_terminal_size().columns
    table, left_out = fitted(columns, [list(map(visible, row)) for row in rows], width)
    lines = table.splitlines()
    for place, texts in reversed(list(enumerate(beneath, len(lines) - len(rows)))):
        under = [line for text in texts for line in _beneath(text, width)]
        lines[place + 1 : place + 1] = under
    write("".join(f"{line}\n" for line in lines))
    if left_out:
        note(f"too narrow for {', '.join(left_out)}; --json shows all")


def _beneath(parts: Sequence[str], width: int) -> list[str]:
    """The text in one line, or else each part in as many as it needs."""
    shown = list(map(visible, parts))
    lines = wrapped(" ".join(shown), width - len(_INDENT))
    if len(lines) > 1:
        lines = [line for part in shown for line in wrapped(part, width - len(_INDENT))]
    return [_INDENT + line for line in lines]
