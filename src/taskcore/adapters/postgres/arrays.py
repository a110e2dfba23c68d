"""Lists as PostgreSQL's array literals, in which the arguments of batches travel."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.adapt import Dumper

from taskcore.domain.ids import MAX_ID

_BEYOND_INT8 = MAX_ID + 1
_MICROSECOND = timedelta(microseconds=1)


def int8(number: int) -> int:
    """A number beyond int8 is the lowest int8, which is no id, so that no row matches."""
    return number if -_BEYOND_INT8 <= number < _BEYOND_INT8 else -_BEYOND_INT8


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Literals(dict[type, Callable[[Any], str]]):
    def __missing__(self, kind: type) -> Callable[[Any], str]:
        """The entry of a class that `kind` derives from. Raises TypeError."""
        for base in kind.__mro__[1:]:
            if base in self:
                return self.setdefault(kind, self[base])
        raise TypeError(kind)


_LITERALS = _Literals(
    {
        int: lambda number: str(int8(number)),
        float: repr,
        str: _text,
        type(None): lambda _: "NULL",
        datetime: datetime.isoformat,
        date: date.isoformat,
        timedelta: lambda span: f"{span // _MICROSECOND} us",
        bytes: lambda data: f'"\\\\x{data.hex()}"',
        UUID: str,
    }
)


class ArrayDumper(Dumper):
    """Dumps lists much faster than psycopg's dumper, which asks for each item how to send it.

    The type is left to the server, which knows it from the statement. Psycopg would take it from
    the items, and prepare the statement again for each list that holds nothing but None.
    """

    def dump(self, obj: Sequence[object]) -> bytes:
        """Raises TypeError for an item of another type, which is a bug."""
        return ("{" + ",".join([_LITERALS[type(item)](item) for item in obj]) + "}").encode()
