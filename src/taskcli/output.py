"""What people and programs see: data on standard output, messages on standard error."""

import json
import shutil
import sys
import traceback
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, tzinfo
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from taskcli.standard_streams import is_terminal, write, write_error
from taskcli.tables import fitted, wrapped
from taskcore.domain.printable import ascii_json, block, visible

if TYPE_CHECKING:  # the help texts do without
    from taskcli.arguments import Paging
    from taskcore import Page
    from taskcore.cursors import Cursors

Record = Mapping[str, object]
Item = TypeVar("Item")

_quiet = False

# The one field that is a text of several lines. In any other a line end is escaped.
_TEXT = "description"
_PROGRESS_WIDTH = 60
_INDENT = "    "


def message(*lines: str) -> None:
    """Print lines for people on standard error. Data in a line cannot begin another line."""
    write_error("taskcli: " + "\n  ".join(map(visible, lines)) + "\n")


def be_quiet(*, quiet: bool) -> None:
    """Set whether `note` and `progress` print nothing."""
    global _quiet  # noqa: PLW0603 - one command line, one answer
    _quiet = quiet


def note(*lines: str) -> None:
    """Print a message that tells no error; nothing with --quiet."""
    if not _quiet:
        message(*lines)


def trace(error: BaseException) -> None:
    """Print where an error happened, on standard error."""
    lines = block("".join(traceback.format_exception(error)).rstrip("\n"))
    write_error("".join(f"  {line}\n" for line in lines))


def ask(question: str) -> None:
    """Print a question on standard error, and stay on its line."""
    write_error(f"{visible(question)} ")


def progress(text: str) -> None:
    """On a terminal, replace the text that `progress` printed before; elsewhere print nothing."""
    if not _quiet and sys.stderr is not None and sys.stderr.isatty():
        write_error(f"\r{visible(text):<{_PROGRESS_WIDTH}}\r")


def print_line(text: str) -> None:
    write(f"{visible(text)}\n")


def print_json(value: object) -> None:
    write(_as_ascii(value) + "\n")


def _as_ascii(value: object) -> str:
    return ascii_json(encoded(value))


def encoded(value: object) -> str:
    """The value as JSON."""
    return json.dumps(value, default=_plain)


def show(record: Record, *, as_json: bool, zone: tzinfo = UTC) -> None:
    """Print one record with all its fields; for people, with the times of a clock in the zone."""
    if as_json:
        print_json(record)
        return
    rows = []
    for name, value in record.items():
        lines = block(str(value)) if name == _TEXT and value else [visible(cell(value, zone))]
        rows += [[visible(name), lines[0]], *(["", line] for line in lines[1:])]
    write(_written(rows, aligned=is_terminal()))


def show_rows(rows: Sequence[Sequence[str]], widths: Sequence[int] = ()) -> None:
    """Print rows, all with the same number of cells; `widths` are the least of the columns."""
    shown = [list(map(visible, row)) for row in rows]
    write(_written(shown, aligned=is_terminal(), least=widths))


def show_page(
    page: "Page[Item]",
    shape: Callable[[Item], Record],
    cursors: "Cursors[Item, Any]",
    columns: Sequence[str],
    paging: "Paging",
    *,
    zone: tzinfo = UTC,
    beneath: Callable[[Item], Sequence[Sequence[str]]] | None = None,
    whole: str = "",
) -> None:
    """Print a page of a list: the named columns for people, every field for programs.

    People see the times of a clock in the zone. `beneath` returns what a terminal shows under the
    row instead of its last column, so that nothing is cut: texts in parts, and where a text has no
    room on one line, each part begins another. `whole` is the option that shows all pages.
    """
    items, total, next_cursor = list(map(shape, page.items)), page.total, cursors.after(page)
    skip, limit, cursor = paging.skip, paging.limit, paging.cursor
    if paging.as_json:
        answer = {"items": items, "total": total, "skip": skip, "limit": limit}
        print_json(answer | {"next_cursor": next_cursor})
        return
    if items:
        texts = list(map(beneath, page.items)) if beneath and is_terminal() else []
        columns = columns[:-1] if texts else columns
        rows = [[visible(cell(item[name], zone)) for name in columns] for item in items]
        if is_terminal():
            _write_table(columns, rows, texts)
        else:
            write(_written([columns, *rows], aligned=False))
    if not items:
        in_all = "" if total is None else f", {total} in all"
        note(f"none here{in_all}" if total or cursor else "nothing found")
    elif next_cursor or skip or cursor:
        which = f"{len(items)}" if cursor else f"{skip + 1} to {skip + len(items)}"
        of = " shown" if total is None else f" of {total}"
        rest = f"; --cursor {next_cursor} shows the next" if next_cursor else ""
        note(which + of + rest + (f", {whole} all" if rest and whole else ""))


async def show_all(
    pages: AsyncIterable["Page[Item]"],
    shape: Callable[[Item], Record],
    columns: Sequence[str],
    paging: "Paging",
    *,
    zone: tzinfo = UTC,
) -> None:
    """Print a whole list as `show_page` does a page, without a cursor at its end.

    What is not for a terminal is written page by page, so that a long list takes no memory.
    """
    number, total, rows = 0, None, []
    if paging.as_json:
        write('{"items": [')
    async for page in pages:
        total = page.total if number == 0 else total
        items = list(map(shape, page.items))
        if paging.as_json:
            write(", " * bool(number and items) + ", ".join(map(_as_ascii, items)))
        else:
            rows += [[visible(cell(item[name], zone)) for name in columns] for item in items]
        if not paging.as_json and not is_terminal():
            heading = [columns] if rows and not number else []
            write(_written([*heading, *rows], aligned=False))
            rows = []
        number += len(items)
    if paging.as_json:
        answer = {"total": total, "skip": paging.skip, "limit": number, "next_cursor": None}
        write(f"], {_as_ascii(answer)[1:]}\n")
    elif rows:
        _write_table(columns, rows)
    if not paging.as_json:
        note(f"{number} shown" if number else "nothing found")


def _write_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    beneath: Sequence[Sequence[Sequence[str]]] = (),
) -> None:
    width = shutil.get_terminal_size().columns
    table, left_out = fitted(columns, rows, width)
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


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


def clock_time(moment: datetime, zone: tzinfo, precision: str = "seconds") -> str:
    """What a calendar and a clock in the zone show, with the offset from UTC, or `Z`."""
    with suppress(OverflowError):  # where the calendar ends
        moment = moment.astimezone(zone)
    text = moment.isoformat(" ", precision)
    return text if moment.utcoffset() else text.removesuffix("+00:00") + "Z"


def cell(value: object, zone: tzinfo) -> str:
    """What people see of a value, which `visible` has still to make safe."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return clock_time(value, zone)
        case list() | tuple():
            return ", ".join(cell(item, zone) for item in value) or "-"
        case dict():
            return ", ".join(f"{name}={cell(value[name], zone)}" for name in value) or "-"
        case _:
            return str(value)


def _written(rows: Sequence[Sequence[str]], *, aligned: bool, least: Sequence[int] = ()) -> str:
    """Visible cells in columns: aligned for a terminal, else divided by tabs.

    No visible cell holds a tab, so in a pipe or a file every line has as many as the first one.
    """
    if not aligned:
        return "".join("\t".join(row) + "\n" for row in rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    widths = [max(pair) for pair in zip_longest(widths, least, fillvalue=0)]
    lines = [
        "  ".join(
            [*(shown.ljust(width) for shown, width in zip(row, widths, strict=False)), row[-1]]
        )
        for row in rows
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)
