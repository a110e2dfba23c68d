"""The OpenAPI document that the tests look at."""

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from taskapi.app import served_document
from tests.api.access import ACCESS
from tests.api.conftest import SETTINGS

Json = dict[str, Any]

DOCUMENT: Json = json.loads(served_document(SETTINGS))


def operations() -> Iterator[tuple[str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def listed() -> Iterator[tuple[str, Json]]:
    """The operations with a level in ACCESS; one test names those without."""
    return ((call, operation) for call, operation in operations() if call in ACCESS)


def resolved(thing: Json) -> Json:
    if "$ref" not in thing:
        return thing
    found = DOCUMENT
    for step in thing["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def validator(schema: Json) -> Draft202012Validator:
    """For a schema of the document, with its references resolved."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def references(thing: object) -> Iterator[str]:
    if isinstance(thing, dict):
        if isinstance(thing.get("$ref"), str):
            yield thing["$ref"]
        for value in thing.values():
            yield from references(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from references(value)
