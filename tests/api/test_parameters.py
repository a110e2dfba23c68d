"""Query parameters: which names a request may have, how often, and what their values may be."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from litestar import Litestar, Router, get
from litestar.params import FromQuery

from taskapi.parameters import declare_parameters
from taskapi.paths import PREFIX
from taskapi.query import (
    BOOLEANS,
    flag,
    moment_or_day,
    one_of,
    parse_choice,
    parse_choices,
    parse_moment_or_day,
    several,
)
from taskcore import Core, Invalid
from taskcore.adapters.memory import MemoryStore
from taskcore.ports import Store
from tests.api.access import ACCESS, ADMIN, PUBLIC
from tests.api.conftest import app_over, opened
from tests.api.people import V1, Person, broken, refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> Store:
    """In memory alone: what is tested here is decided before a store is asked."""
    return MemoryStore()


TAKE_ANY = {
    "GET /": 307,
    "GET /livez": 200,
    "GET /readyz": 200,
    "GET /api/v1/docs/assets/{name}": 404,
}
COLOURS = {"red": 1, "green": 2, "crimson": 1}


@get("/probe")
async def probe(
    colour: FromQuery[Annotated[Sequence[Annotated[str, one_of(COLOURS)]], several("Any of")]] = (),
    label: FromQuery[Annotated[Sequence[str], several("Any of")]] = (),
    due: FromQuery[Annotated[str, moment_or_day("From")] | None] = None,
    late: FromQuery[Annotated[Any, flag("Late")]] = None,
) -> dict[str, Any]:
    found = parse_moment_or_day("due", due)
    return {
        "colour": parse_choices("colour", colour, COLOURS),
        "label": label,
        "due": found and found.isoformat(),
        "late": parse_choice("late", late, BOOLEANS),
    }


@pytest.fixture
async def probing(core: Core) -> AsyncIterator[Person]:
    """A client of an app that has `/probe` too."""
    app = app_over(core)
    app.register(Router(PREFIX, route_handlers=[probe]))
    declare_parameters(app)
    async with opened(app) as http:
        yield Person(http)


async def test_every_route_refuses_an_unknown_parameter(
    app: Litestar, anonymous: Person, ada: Person, root: Person
) -> None:
    """After the login and the role, before anything that the path or the body names."""
    assert app.routes
    for call, level in ACCESS.items():
        method, path = (
            call.replace("{name}", "x").format(task_id=1, user_id=1, session_id=1).split()
        )
        person = root if level == ADMIN else ada
        there = path.removeprefix(V1) + "?canary=1"
        if call in TAKE_ANY:
            answer = await ada.http.get(path + "?canary=1")
            assert answer.status_code == TAKE_ANY[call]
            continue
        if level != PUBLIC:
            refused(await anonymous.ask(method, there), 401, "unauthenticated")
        if level == ADMIN:
            refused(await ada.ask(method, there), 403, "forbidden")
        for body in (b"", b"{"):
            error = broken(await person.ask(method, there, content=body), "canary")
            assert error["code"] == "unknown_parameter", call


async def test_an_asset_of_the_pages_may_have_a_cache_buster(anonymous: Person) -> None:
    page = (await anonymous.get("/docs")).text
    asset = page.partition('<script src="')[2].partition('"')[0]
    assert (await anonymous.get(f"/{asset}?v=1")).status_code == 200


async def test_a_refusal_suggests_the_name_that_was_meant(root: Person, ada: Person) -> None:
    for path, name, detail in (
        ("/users", "Is-Active", "did you mean is_active?"),
        ("/users", "mail", "did you mean email?"),
        ("/tasks", "limit[]", "did you mean limit?"),
        ("/tasks", "due", "did you mean due_from or due_until?"),
        ("/tasks", "updated", "did you mean updated_from?"),
        ("/auth/events", "colour", "it has cursor, limit, skip"),
        ("/auth/me", "fields", "which has none"),
    ):
        error = broken(await root.get(f"{path}?{quote(name)}=1"), name)
        assert error["code"] == "unknown_parameter"
        assert error["detail"].endswith(detail)
    query = "sotr=due&limit=1&lable=2&sotr=3"
    errors = refused(await ada.get(f"/tasks?{query}"), 422, "invalid")["errors"]
    assert [error["parameter"] for error in errors] == ["sotr", "lable"]
    # One search for what was meant: ten a request made others wait.
    assert ["did you mean" in error["detail"] for error in errors] == [True, False]


async def test_a_parameter_of_one_value_is_sent_once(ada: Person) -> None:
    for query in ("limit=1&limit=1", "limit=1&skip=0&%6cimit=2", "limit&limit", "limit=&limit=1"):
        assert broken(await ada.get(f"/tasks?{query}"), "limit")["code"] == "repeated_parameter"


STRANGE = {
    "=": "",
    "=1": "",
    "x": "x",
    "%00=1": "\0",
    "%0a=1": "\n",
    "%zz=1": "%zz",
    "a+b=1": "a b",
    "?limit=1": "?limit",
    "limit%20=1": "limit ",
    "LIMIT=1": "LIMIT",
    "%F0%9F%98%80=1": "\U0001f600",
    "limit;skip=1": "limit;skip",
}


async def test_a_strange_name_is_named_in_the_refusal(ada: Person) -> None:
    for query, name in STRANGE.items():
        code = "control_character" if name == "\0" else "unknown_parameter"
        assert broken(await ada.get(f"/tasks?{query}"), name)["code"] == code
    for empty in ("", "&", "&&&", "limit=1&"):
        assert (await ada.get(f"/tasks?{empty}")).status_code == 200
    for blank in ("limit", "limit=", "skip=%20"):
        assert broken(await ada.get(f"/tasks?{blank}"), blank[:5].rstrip("="))["detail"]


async def test_a_query_that_is_not_utf_8_is_refused_on_every_route(anonymous: Person) -> None:
    """Whatever the parameter: decoded as well as possible, it would find nothing."""
    broken_utf_8 = ("%C3", "%ED%A0%80", "%C0%80", "%F4%90%80%80", "%ff=1", "limit=1&%ff")
    asked = [f"GET {V1}/tasks?q={part}" for part in broken_utf_8]
    asked += [f"{call}?q=f%FCr".replace("{name}", "x") for call in ACCESS]
    for method, there in map(str.split, asked):
        answer = await anonymous.http.request(method, there)
        assert "f%C3%BCr" in refused(answer, 400, "malformed_request")["detail"]


async def test_a_query_full_of_unknown_names_gets_a_short_refusal(ada: Person) -> None:
    for query in (
        "&".join(f"limi{number}" for number in range(450)),
        "&".join("abcdefghijklmnopqrstuvwxyz"),
        "l" * 4096,
        "%1" * 1365,
    ):
        answer = await ada.get(f"/tasks?{query}")
        assert len(refused(answer, 422, "invalid")["errors"]) <= 10
        assert len(answer.content) < 10_000


async def test_a_parameter_of_several_values_has_twenty_at_most(probing: Person) -> None:
    answer = await probing.get("/probe?colour=green&colour=RED&colour=crimson&label=x,y&label=")
    assert answer.json() == {"colour": [2, 1], "label": ["x,y", ""], "due": None, "late": None}
    assert (await probing.get("/probe?" + "label=a&" * 20)).json()["label"] == ["a"] * 20
    error = broken(await probing.get("/probe?" + "label=a&" * 21), "label")
    assert error == {
        "parameter": "label", "code": "too_many", "detail": "may be sent at most 20 times",
    }  # fmt: skip
    for wrong in ("colour=blue", "colour=red&colour=", "colour=red,green", "colour=null"):
        error = broken(await probing.get(f"/probe?{wrong}"), "colour")
        assert (error["code"], "red, green, crimson" in error["detail"]) == ("wrong_type", True)


async def test_a_flag_is_true_or_false(probing: Person) -> None:
    for word, value in (("true", True), ("false", False), ("True", True)):
        assert (await probing.get(f"/probe?late={word}")).json()["late"] is value
    for wrong in ("1", "0", "yes", "null", ""):
        assert broken(await probing.get(f"/probe?late={wrong}"), "late")["code"] == "wrong_type"


async def test_an_offset_may_have_a_plus_that_is_not_encoded(probing: Person) -> None:
    due = (await probing.get("/probe?due=2026-12-01T00:00:00+01:00")).json()["due"]
    assert due == "2026-11-30T23:00:00+00:00"


def test_a_day_or_a_moment_is_told_apart() -> None:
    assert parse_moment_or_day("due", None) is None
    assert parse_moment_or_day("due", "2026-12-01") == date(2026, 12, 1)
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    for text in (
        "2026-12-01T00:00:00Z",
        "2026-12-01T02:00:00+02:00",
        "2026-12-01T02:00:00 02:00",  # a plus that was not encoded
        "2026-11-30T21:30:00.000-02:30",
    ):
        found = parse_moment_or_day("due", text)
        assert (found, isinstance(found, datetime)) == (midnight, True)


def test_what_is_neither_a_day_nor_a_moment_is_refused_with_both_forms() -> None:
    for text in (
        *("", " ", "null", "today", "2026", "2026-12", "20261201", "2026-12-1", "2026-02-30"),
        *(" 2026-12-01", "2026-12-01 ", "2026-12-01Z", "2026-12-01T00:00:00", "2026-12-01T24:00Z"),
        *("2026-12-01T00:00:00+99:99", "1764547200", "0001-01-01T00:00:00+14:00", "0000-01-01"),
        *("9999-12-31T23:59:59-12:00", "10000-01-01", "-2026-12-01", "\uff12026-12-01", "x" * 4000),
    ):
        with pytest.raises(Invalid) as caught:
            parse_moment_or_day("due", text)
        (problem,) = caught.value.problems
        assert (problem.field, problem.code) == ("due", "wrong_type"), text
        assert "2026-01-31 or a moment such as 2026-01-31T09:30:00Z" in problem.detail
