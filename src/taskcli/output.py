"""What people and programs see: data on standard output, messages on standard error."""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO
from uuid import UUID

Record = Mapping[str, object]


class ReaderGone(Exception):
    """The reader of our output has closed it (`| head`)."""


class OutputLost(Exception):
    """The output could not be written. What it reports was done all the same."""


def write(text: str) -> None:
    """Raises ReaderGone and OutputLost."""
    if sys.stdout is None:
        raise OutputLost("standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise OutputLost(f"the output cannot be written: {error.strerror}") from None


def message(text: str) -> None:
    """To people, on standard error."""
    lines = (visible(line) for line in text.rstrip("\n").split("\n"))
    if sys.stderr is None:
        return
    try:
        sys.stderr.write("taskcli: " + "\n  ".join(lines) + "\n")
        sys.stderr.flush()
    except OSError:  # there is no other place to report this
        forget(sys.stderr)


def forget(stream: TextIO | None) -> None:
    """Discard what is buffered: the interpreter would fail at exit when it cannot write that."""
    if stream is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def show(record: Record, *, as_json: bool) -> None:
    """Print one record with all its fields."""
    write(_json(record) if as_json else _columns([[name, _block(record[name])] for name in record]))


def show_page(
    items: Sequence[Record],
    columns: Sequence[str],
    *,
    total: int,
    skip: int,
    limit: int,
    as_json: bool,
) -> None:
    """Print a page of a list: the named columns for people, every field for programs."""
    if as_json:
        write(_json({"items": items, "total": total, "skip": skip, "limit": limit}))
        return
    if items:
        rows = [[_cell(item[name]) for name in columns] for item in items]
        write(_table(columns, rows) if sys.stdout.isatty() else _columns([columns, *rows]))
    if len(items) < total:
        end = skip + len(items)
        more = f"; --skip {end} shows the next" if end < total else ""
        message(f"{skip + 1} to {end} of {total}{more}" if items else f"none here, {total} in all")
    elif not items:
        message("nothing found")


def visible(text: str) -> str:
    """The text with every character escaped that could control a terminal or mislead its reader.

    These are control characters, line separators, and the invisible characters that change the
    direction of writing or hide text. The two joiners stay: some scripts are spelled with them,
    and they do no harm.
    """
    return _SUSPECT.sub(lambda found: _escaped(found[0]), text)


_SUSPECT = re.compile(r"[^ -~]")
_JOINERS = "\u200c\u200d"
_CONTROLLING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _escaped(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _CONTROLLING:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _json(value: object) -> str:
    # ASCII works in every locale, and contains nothing that controls a terminal.
    return json.dumps(value, default=_plain) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case list() | tuple():
            return ", ".join(map(_cell, value))
        case dict():
            return ", ".join(f"{visible(str(name))}={_cell(value[name])}" for name in value) or "-"
        case _:
            return visible(str(value))


def _block(value: object) -> str:
    """Like `_cell`, but a text of several lines keeps its line breaks."""
    if isinstance(value, str) and "\n" in value:
        return "\n".join(map(visible, value.replace("\r\n", "\n").split("\n")))
    return _cell(value)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Aligned by spaces: readable in a file, and easy to split by `awk`."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    indent = "\n" + " " * (sum(widths) + 2 * len(widths))
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1].replace("\n", indent)]).rstrip())
    return "\n".join(lines) + "\n"


# Free text is cut to the width of the terminal; `show` prints all of it. What people copy from
# here, such as ids and addresses, is never cut.
_PROSE = {"title", "full_name"}
_LONG = {"email", *_PROSE}


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # Imported only for a terminal: rich takes a while.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        # rich narrows columns that may wrap first, and the others only when that is not enough.
        table.add_column(name, no_wrap=name not in _LONG, overflow="fold")
    for row in rows:
        # As Text, because brackets in data are not markup.
        cells = [Text(cell) for cell in row]
        for name, cell in zip(columns, cells, strict=True):
            if name in _PROSE:
                cell.no_wrap, cell.overflow = True, "ellipsis"
        table.add_row(*cells)
    console = Console(file=sys.stdout)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
