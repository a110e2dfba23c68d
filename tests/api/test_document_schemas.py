"""What generators of clients read out of the OpenAPI document.

They read less than a validator: each test names what goes wrong in a client otherwise.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import taskapi
from taskcore.domain.tasks import NewTask
from tests.api.documented import DOCUMENT, operations, resolved
from tests.guards import agree

Json = dict[str, Any]
README = (Path(__file__).parents[2] / "README.md").read_text()


def schemas(thing: object = DOCUMENT) -> Iterator[Json]:
    """Every schema of the document, those inside of others too."""
    if isinstance(thing, list):
        for each in thing:
            yield from schemas(each)
    if isinstance(thing, dict):
        if {"type", "enum", "$ref", "anyOf"} & thing.keys():
            yield thing
        for name, value in thing.items():
            if name not in {"example", "examples"}:
                yield from schemas(value)


def fields() -> Iterator[tuple[str, str, Json]]:
    """Each field of a body or an answer, with the name of its schema."""
    for shape, schema in DOCUMENT["components"]["schemas"].items():
        for name, field in schema.get("properties", {}).items():
            yield shape, name, field


def test_an_integer_beyond_32_bits_says_so() -> None:
    """Generators for Go, Java and Kotlin take any other for 32 bits."""
    integers = [schema for schema in schemas() if schema.get("type") == "integer"]
    assert len(integers) > 50
    for schema in integers:
        is_long = schema.get("maximum", 2**63) >= 2**31
        assert schema.get("format") == ("int64" if is_long else None), schema


def test_a_moment_says_so() -> None:
    for shape, name, field in fields():
        options = [each for each in field.get("anyOf", [field]) if each.get("type") == "string"]
        is_moment = name == "at" or name.endswith("_at")
        assert [each.get("format") for each in options].count("date-time") == is_moment, shape


def test_every_choice_has_a_type() -> None:
    """Generators take a choice without one for anything at all."""
    for schema in schemas():
        for option in schema.get("anyOf", []):
            assert {"type", "$ref"} & option.keys(), schema
        assert "enum" not in schema or "type" in schema


def test_words_of_which_one_is_meant_are_one_type() -> None:
    """Generators make a new type of each enumeration that is not referred to."""
    named = [each for each in DOCUMENT["components"]["schemas"].values() if "enum" in each]
    for schema in schemas():
        assert len(schema.get("enum", [])) < 2 or schema in named
    assert len({json.dumps(sorted(each["enum"])) for each in named}) == len(named)


def test_what_a_field_is_without_a_value_is_said_in_words() -> None:
    """Some generators require a field with a `default`, others send it each time."""
    assert not any("default" in field for _, _, field in fields())
    left_out = {
        name: field["description"]
        for shape, name, field in fields()
        if shape == "TaskDraft" and name != "title"
    }
    values = {field.name: field.default for field in dataclasses.fields(NewTask)}
    for name, said in left_out.items():
        assert said.endswith(f"Left out, it is `{json.dumps(values[name])}`")


def test_no_field_has_the_name_of_its_own_type() -> None:
    """openapi-python-client uses the name of the type for the object that it reads."""
    for shape, name, _ in fields():
        assert name != re.sub("(?<!^)([A-Z])", r"_\1", shape).lower()


def test_an_object_without_listed_fields_says_what_it_may_have() -> None:
    for schema in schemas():
        if schema.get("type") == "object" and not schema.get("properties"):
            assert schema["additionalProperties"]


def test_a_stream_is_a_text() -> None:
    answers = (
        answer for _, operation in operations() for answer in operation["responses"].values()
    )
    streams = [a["content"]["text/event-stream"] for a in answers if "event-stream" in str(a)]
    assert [stream["schema"]["type"] for stream in streams] == ["string"]


def codes() -> set[str]:
    found = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]
    return set(resolved(found)["enum"])


def test_every_code_is_in_the_document_and_in_the_readme() -> None:
    rows = re.findall(r"^\| (?:[45]\d\d[, ]*)+\|(.*?)\|", README, re.MULTILINE)
    agree(codes(), set(re.findall("`([a-z_]+)`", "".join(rows))), "the README", "add its row")


def test_every_code_has_an_example() -> None:
    problems = DOCUMENT["components"]["schemas"]["Problem"]["examples"]
    answers = (
        answer for _, operation in operations() for answer in operation["responses"].values()
    )
    media = (media for answer in answers for media in answer.get("content", {}).values())
    shown = {code for each in media for code in each.get("examples", {})}
    assert shown | {problem["code"] for problem in problems} == codes()


def test_no_refusal_by_http_has_a_code_of_its_own_making() -> None:
    for file in Path(taskapi.__file__).parent.rglob("*.py"):
        used = re.findall(r'HttpProblem\(\s*\d+,\s*"(\w+)"', file.read_text())
        assert set(used) <= codes(), file
