"""The OpenAPI document: valid, complete, and true."""

import json
import re
import subprocess
import sys
from dataclasses import replace

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from taskapi.app import served_document
from taskcore.domain import dues, emails, passwords, tasks, users
from taskcore.domain.ids import MAX_ID
from taskcore.domain.pages import MAX_LIMIT, MAX_LIMIT_OF_CHANGES, MAX_LIMIT_OF_LABELS, MAX_SKIP
from taskcore.domain.text_rules import TextRule
from tests.api.access import ACCESS, ADMIN, PUBLIC
from tests.api.conftest import SETTINGS
from tests.api.documented import DOCUMENT, Json, listed, operations, references, resolved, validator

LIMITS = {"listLabels": MAX_LIMIT_OF_LABELS, "listChanges": MAX_LIMIT_OF_CHANGES}
"""How many items a page has at most, where it is not MAX_LIMIT."""


def test_it_is_an_openapi_document() -> None:
    from schemathesis.specs.openapi.definitions import OPENAPI_31  # noqa: PLC0415 - takes a second

    Draft202012Validator(OPENAPI_31).validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_names_of_the_operator_are_written_as_they_are() -> None:
    named = json.loads(served_document(replace(SETTINGS, app_name="Team View", app_version="View")))
    assert named["info"] == DOCUMENT["info"] | {"title": "Team View", "version": "View"}
    assert named | {"info": 0} == DOCUMENT | {"info": 0}
    assert not [name for name in DOCUMENT["components"]["schemas"] if name.endswith("View")]


def test_every_process_writes_the_same_document() -> None:
    """Otherwise its ETag would differ between workers, and the committed copy with every build."""
    program = [sys.executable, "-m", "taskcli", "openapi"]
    written = {subprocess.check_output(program) for _ in range(3)}  # noqa: S603 - ours
    assert len(written) == 1


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = set(references(DOCUMENT))
    for reference in found:
        assert resolved({"$ref": reference})
    components = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "headers", "examples")
        for name in DOCUMENT["components"][kind]
    }
    assert found == components


def test_every_operation_explains_itself() -> None:
    tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    for call, operation in operations():
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", operation["operationId"])
        assert re.fullmatch("[A-Z].*[^.]", operation["summary"]), call
        assert operation["description"], call
        assert [tag for tag in operation["tags"] if tags[tag]] == operation["tags"] != [], call
        for answer in operation["responses"].values():
            assert answer["description"]
    assert all(tags.values())


def test_every_parameter_explains_itself() -> None:
    for call, operation in operations():
        named = set(re.findall(r"{(\w+)}", call))
        parameters = operation.get("parameters", [])
        assert {p["name"] for p in parameters if p["in"] == "path"} == named
        assert len({(p["in"], p["name"]) for p in parameters}) == len(parameters)
        for parameter in parameters:
            assert parameter["description"], (call, parameter["name"])
            assert parameter["required"] is (parameter["in"] == "path")
            Draft202012Validator.check_schema(parameter["schema"])
            assert "null" not in json.dumps(parameter["schema"])


def test_every_body_is_closed_and_has_an_example_that_fits() -> None:
    for call, operation in operations():
        if "requestBody" not in operation:
            continue
        assert operation["requestBody"]["required"] is True
        (media,) = operation["requestBody"]["content"].items()
        assert media[0] == "application/json"
        schema = resolved(media[1]["schema"])
        assert schema["additionalProperties"] is False, call
        assert schema["examples"]
        for example in schema["examples"]:
            validator(schema).validate(example)


def test_everything_shown_has_an_example_that_fits() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", []):
            validator(schema).validate(example)
        if "enum" not in schema:
            assert schema["examples"]


def test_refusals_are_problems_and_successes_are_json() -> None:
    for call, operation in operations():
        for status, answer in operation["responses"].items():
            assert "X-Request-Id" in answer["headers"]
            content = answer.get("content", {})
            if status in {"204", "304"}:
                assert not content
                continue
            (media,) = content.items()
            problem = ("application/problem+json", "#/components/schemas/Problem")
            is_problem = (media[0], media[1]["schema"].get("$ref")) == problem
            assert is_problem is (int(status) >= 400), call
        for status, header in (("401", "WWW-Authenticate"), ("503", "Retry-After")):
            assert header in operation["responses"].get(status, {"headers": header})["headers"]


def test_each_refusal_has_an_example_of_its_own() -> None:
    details = set()
    for call, operation in operations():
        for status, answer in operation["responses"].items():
            for media in answer.get("content", {}).values():
                for code, example in media.get("examples", {}).items():
                    shown = resolved(example)["value"]
                    validator(media["schema"]).validate(shown)
                    assert (shown["code"], str(shown["status"])) == (code, status), call
                    details.add((shown["detail"], json.dumps(shown.get("errors"))))
    assert len(details) > 20


def test_an_edit_is_shown_with_a_field_or_two() -> None:
    for _, operation in operations():
        schema = resolved(operation.get("requestBody", {}).get("content", {}).get(
            "application/json", {}).get("schema", {}))  # fmt: skip
        if schema and not schema.get("required"):
            assert 1 <= len(schema["examples"][0]) <= 2


def test_it_says_who_may_call_what() -> None:
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "security" not in DOCUMENT
    for call, operation in listed():
        level = ACCESS[call]
        # An empty list is said, because a linter takes an operation without one for a mistake.
        assert operation["security"] == ([] if level == PUBLIC else [{"bearer": []}])
        # A login and a refresh are public, and refuse with 401 too.
        assert level == PUBLIC or "401" in operation["responses"]
        assert level != ADMIN or "403" in operation["responses"]


def test_operations_are_in_the_order_in_which_people_use_them() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    for used_in_turn in (
        "register logIn refresh me changeProfile listSessions logOut deleteAccount",
        "createTask listTasks getTask editTask deleteTask changeTasks listLabels listTrash",
        "restoreTask getTaskHistory revertTask listChanges createUser listUsers listEvents",
    ):
        expected = used_in_turn.split()
        assert [name for name in names if name in expected] == expected


def bounds(rule: TextRule) -> Json:
    return {"minLength": rule.min, "maxLength": rule.max}


def test_limits_are_those_of_the_domain() -> None:
    texts = {
        "title": tasks.TITLE,
        "description": tasks.DESCRIPTION,
        "full_name": users.FULL_NAME,
        "time_zone": dues.TIME_ZONE,
        "email": emails.EMAIL,
        "password": passwords.PASSWORD,
    }
    others = {"Credentials", "AccountDeletion", "Problem"}  # only compared, or something else
    seen = set()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            options = described.get("anyOf", [described])
            strings = [option for option in options if option.get("type") == "string"]
            if field in texts and name not in others:
                (text,) = strings
                assert bounds(texts[field]).items() <= text.items(), (name, field)
                seen.add(field)
            if field in {"id", "owner_id", "version"} and described.get("format") != "uuid":
                assert (described["minimum"], described["maximum"]) == (1, MAX_ID)
    assert seen == set(texts)
    numbers = {"skip": (0, MAX_SKIP), "limit": (1, MAX_LIMIT)}
    numbers |= dict.fromkeys(["owner_id", "task_id", "user_id", "user"], (1, MAX_ID))
    found = set()
    for _, operation in operations():
        for parameter in operation.get("parameters", []):
            most = LIMITS.get(operation["operationId"])
            if most and parameter["name"] == "limit":
                assert parameter["schema"]["maximum"] == most
            elif bound := numbers.get(parameter["name"]):
                schema = parameter["schema"]
                assert (schema["minimum"], schema["maximum"]) == bound
                found.add(parameter["name"])
    assert found == set(numbers)


def test_patterns_refuse_what_the_domain_refuses() -> None:
    for schema, field, rule in (
        ("TaskDraft", "title", tasks.TITLE),
        ("TaskDraft", "description", tasks.DESCRIPTION),
        ("Registration", "full_name", users.FULL_NAME),
    ):
        described = DOCUMENT["components"]["schemas"][schema]["properties"][field]
        text = next(o for o in described.get("anyOf", [described]) if o.get("type") == "string")
        for number in (*range(0x110), 0x2028, 0xFEFF, 0x1F600):
            sample = f"a{chr(number)}b"
            fits = re.search(text["pattern"], sample) is not None
            assert fits is (rule.problem(sample) is None), (field, number)
