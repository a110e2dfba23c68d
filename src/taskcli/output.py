"""What people and programs see: data on standard output, messages on standard error."""

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, tzinfo
from itertools import zip_longest
from uuid import UUID

from taskcli.standard_streams import is_terminal, write, write_error
from taskcore.domain.printable import ascii_json, block, visible

Record = Mapping[str, object]

_quiet = False

# The one field that is a text of several lines. In any other a line end is escaped.
_TEXT = "description"
_PROGRESS_WIDTH = 60


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
    write(ascii_json(encoded(value)) + "\n")


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
