"""How many bytes a view has at most: read off the schemas of its fields."""

import json
from collections.abc import Collection

from msgspec import Struct

from taskapi.expectations import Json, schemas_at

CHARACTER = 4
"""The most bytes of a character, in UTF-8 and in JSON: no field may hold a control character but
for blanks."""
_LONGEST_MOMENT = "2026-12-01T09:00:00.123456Z"


def most_bytes(view: type[Struct], *, without: Collection[str]) -> int:
    """The most bytes of its JSON, without the characters of these fields.

    Raises LookupError if the type of another field says no limit.
    """
    return sum(
        len(f'"{name}":,')
        + max(
            _most_bytes(view, name, s, counts=name not in without) for s in schemas_at(view, name)
        )
        for name in view.__struct_fields__
    )


def _most_bytes(view: type[Struct], name: str, schema: Json, *, counts: bool) -> int:
    match schema:
        case {"enum": words}:
            return max(map(len, map(json.dumps, words)))
        case {"type": "boolean" | "null"}:
            return len("false")
        case {"type": "integer", "maximum": most}:
            return len(str(most)) + 1  # perhaps with a sign
        case {"type": "string", "format": "date" | "date-time"}:
            return len(json.dumps(_LONGEST_MOMENT))
        case {"type": "string", "maxLength": most}:
            return len('""') + CHARACTER * counts * int(most)
        case {"type": "array", "maxItems": most, "items": items}:
            return len("[]") + int(most) * (_most_bytes(view, name, items, counts=counts) + 1)
    raise LookupError(
        f"{name} of {view.__name__} has no limit: give its type in taskapi/fields.py a `maximum`,"
        " `maxLength` or `maxItems` in `extra_json_schema`"
    )
