"""The schemas of the OpenAPI document: msgspec's, in words that generators of clients understand.

A generator reads less out of a schema than a validator. One takes every integer for 32 bits unless
its format says otherwise; one gives each enumeration that is written in place a type of its own;
one makes a field with a `default` required; none guesses a type that is not said.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from taskapi.schema_names import renamed, schema_name

Json = dict[str, Any]

PREFIX = "#/components/schemas/"
_MAX_INT32 = 2**31 - 1


def reference(shape: type[Struct]) -> Json:
    return {"$ref": PREFIX + schema_name(shape.__name__)}


class Schemas:
    """Writes schemas, and collects the enumerations that they refer to."""

    def __init__(self) -> None:
        self._enumerations: dict[str, Json] = {}

    def of_parameter(self, hint: Any) -> Json:  # noqa: ANN401 - a type expression
        """Without the null option: a parameter without a value is absent, never null."""
        schema = msgspec.json.schema(hint)
        if "anyOf" in schema:
            rest = [option for option in schema["anyOf"] if option != {"type": "null"}]
            schema = rest[0] if len(rest) == 1 else schema | {"anyOf": rest}
        return self.refined(schema)

    def components(self, shapes: Iterable[type[Struct]]) -> dict[str, Json]:
        """The schema of each shape and of what it holds, each object with an example.

        Call it last: it has the enumerations of all parameters too.
        """
        named = {schema_name(shape.__name__): shape for shape in shapes}
        _, found = msgspec.json.schema_components(
            [named[name] for name in sorted(named)], ref_template=PREFIX + "{name}"
        )
        schemas = {
            schema_name(name): self._component(renamed(schema)) for name, schema in found.items()
        }
        for name, enumeration in self._enumerations.items():
            schemas[name] = schemas.get(name, {}) | enumeration
        for name, schema in schemas.items():
            if "properties" in schema:  # an object: its example consists of those of its fields
                example = _example(schema, schemas)
                fields = getattr(named.get(name), "shown", ()) or example
                schema["examples"] = [{field: example[field] for field in fields}]
        return schemas

    def _component(self, schema: Json) -> Json:
        if "enum" in schema:
            return {**schema, "type": "string"}
        properties = schema.get("properties", {}).items()
        return self.refined(schema) | {
            "properties": {name: self.refined(_in_words(field)) for name, field in properties}
        }

    def refined(self, schema: Json) -> Json:
        """With types and formats, and a reference in place of an enumeration that has a title."""
        refined = dict(schema)
        for key in ("items", "additionalProperties"):
            if isinstance(refined.get(key), dict):
                refined[key] = self.refined(refined[key])
        if "anyOf" in refined:
            options = map(self.refined, refined["anyOf"])
            kind = {"type": refined.pop("type")} if "type" in refined else {}
            refined["anyOf"] = [kind | option for option in options]
        if refined.get("type") == "integer" and refined.get("maximum", _MAX_INT32 + 1) > _MAX_INT32:
            refined["format"] = "int64"
        if "enum" in refined and all(isinstance(word, str) for word in refined["enum"]):
            refined["type"] = "string"
            if name := refined.pop("title", None):
                listed = {"title": name, "type": refined.pop("type"), "enum": refined.pop("enum")}
                self._enumerations[name] = listed
                return refined | {"$ref": PREFIX + name}
        return refined


def _in_words(field: Json) -> Json:
    """Says in the description of a field what it is without a value, and whatever its type is.

    Generators make a field with a `default` required, or send the default with each request.
    """
    told = dict(field)
    options = [dict(option) for option in told.get("anyOf", [])]
    described = [option for option in options if "description" in option]
    if len(described) == 1 and "description" not in told:  # of a type that may be null
        told |= {"description": described[0].pop("description"), "anyOf": options}
    if "default" in told:
        default = f"Left out, it is `{json.dumps(told.pop('default'))}`"
        told["description"] = ". ".join(filter(None, [told.get("description"), default]))
    return told


def _example(schema: Json, schemas: Mapping[str, Json]) -> Any:  # noqa: ANN401 - JSON
    for key in ("examples", "enum"):
        if key in schema:
            return schema[key][0]
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "properties" in schema:
        fields = {name: _example(field, schemas) for name, field in schema["properties"].items()}
        # A field without an example is left out: it does not occur together with the others.
        # In an answer it is null.
        needed = schema.get("required", ())
        return {
            name: example
            for name, example in fields.items()
            if example is not None or name in needed
        }
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    if "items" in schema:
        return [_example(schema["items"], schemas)]
    return schema.get("const", schema.get("default", schema.get("minimum")))
