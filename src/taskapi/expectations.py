"""What a field takes or shows: read off the schema that documents it, and in plain words."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import starmap
from typing import Any

import msgspec

Json = dict[str, Any]

_STEP = re.compile(r"[^.\[\]]+")  # of msgspec's `labels[0]` or `operations[3].title`
_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_FORMATS = {"date-time": "a time with seconds and an offset", "date": "a day"}
_EXAMPLES = {"date": "2026-12-01"}  # of fields that have none, as no example has both dues


def expected(shape: type, path: str) -> str:
    """What a place in a body of this type takes: `must be text such as "home"`."""
    words = list(_in_words(schemas_at(shape, path)))
    return f"must be {', or '.join(words)}" if words else "is of the wrong type"


def fields_taken(shape: type, path: str) -> str:
    """The fields of the object at a place in a body, of each kind that it may be."""
    kinds = (option.get("properties", {}).items() for option in schemas_at(shape, path))
    return "; or ".join(filter(None, (", ".join(starmap(_named, kind)) for kind in kinds)))


def _named(field: str, schema: Json) -> str:
    """The field; where it says the kind of the object, with the word for that."""
    words = schema.get("enum", ())
    return f"{field}={words[0]}" if len(words) == 1 else field


def schemas_at(shape: type, path: str) -> list[Json]:
    """The schemas of what a body of this type may have in that place, without references."""
    root, schemas = _documented(shape)
    options = list(_options(root, schemas))
    for step in _STEP.findall(path):
        name = "items" if step.isdecimal() else step
        inside = (o.get("properties", o).get(name) for o in options)
        options = [o for each in inside if each for o in _options(each, schemas)]
    return options


@cache  # once for each type of body
def _documented(shape: type) -> tuple[Json, Json]:
    (root,), schemas = msgspec.json.schema_components([shape], ref_template="{name}")
    return root, schemas


def _options(schema: Json, schemas: Mapping[str, Json]) -> Iterator[Json]:
    """What the schema allows, without references."""
    if "$ref" in schema:
        yield from _options(schemas[schema["$ref"]] | _without(schema, "$ref"), schemas)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _options(option, schemas)
    else:
        yield schema


def _without(schema: Json, name: str) -> Json:
    return {key: value for key, value in schema.items() if key != name}


def _in_words(options: Iterable[Json]) -> Iterator[str]:
    choices: list[str] = []
    others: dict[str, None] = {}
    for option in options:
        if "enum" in option:
            choices += map(str, option["enum"])
        else:
            others[_one_in_words(option)] = None
    if choices:
        yield f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    yield from others


def _one_in_words(schema: Json) -> str:
    form = schema.get("format", "")
    words = _FORMATS.get(form) or _KINDS.get(schema.get("type", ""), "of another type")
    if {"minimum", "maximum"} <= schema.keys():
        return f"{words} from {schema['minimum']} to {schema['maximum']}"
    for example in schema.get("examples", [_EXAMPLES[form]] if form in _EXAMPLES else []):
        if schema["type"] != "boolean":
            return f"{words} such as {json.dumps(example, ensure_ascii=False)}"
    return words
