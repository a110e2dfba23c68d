"""Which routes there are, and who may call them."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import get_type_hints

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

import taskapi
from taskapi.providers import ActorRequest, administers, anyone, logged_in
from tests.api.access import ACCESS, ADMIN, NOT_OPERATIONS, PUBLIC
from tests.api.conftest import app_over
from tests.api.documented import operations
from tests.api.doubles import FailingStore, failing_core
from tests.api.people import MISSING_ID, Person, again
from tests.conftest import ManualClock
from tests.guards import agree


def handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:
                yield f"{method} {route.path_format}", handler


@pytest.fixture
def any_app(clock: ManualClock) -> Litestar:
    core, _ = failing_core(clock)
    return app_over(core)


def test_every_route_is_meant_to_be_there(any_app: Litestar) -> None:
    """AZ-3: no route and no method but those of the table."""
    calls = {call for call, _ in handlers(any_app)}
    where = "OVER_HTTP in tests/test_policy_matrix.py"
    agree(calls, ACCESS, where, "add its request, or its name to the public ones in access.py")


def test_every_handler_is_listed_in_a_router(any_app: Litestar) -> None:
    served = {handler.fn for _, handler in handlers(any_app)}
    names = [each.name for each in pkgutil.walk_packages(taskapi.__path__, "taskapi.")]
    forgotten = {
        f"{handler.fn.__module__}.{handler.fn.__name__}"
        for module in map(importlib.import_module, names)
        for handler in vars(module).values()
        if isinstance(handler, HTTPRouteHandler) and handler.fn not in served
    }
    assert not forgotten, f"{forgotten}: add it to `route_handlers` of the Router in its module"


def test_it_has_every_operation_and_nothing_else(any_app: Litestar) -> None:
    calls = {call for call, _ in handlers(any_app)}
    assert {call for call, _ in operations()} == calls - NOT_OPERATIONS


def test_the_guard_of_each_route_is_what_the_table_says(any_app: Litestar) -> None:
    for call, handler in handlers(any_app):
        if call not in ACCESS:
            continue
        before = {PUBLIC: anyone, ADMIN: administers}.get(ACCESS[call], logged_in)
        assert handler.resolve_before_request() is before, call


def test_the_handlers_that_take_an_actor_are_those_behind_a_login(any_app: Litestar) -> None:
    asking = {
        call
        for call, handler in handlers(any_app)
        if ActorRequest in get_type_hints(handler.fn).values() and call in ACCESS
    }
    assert asking == {call for call, level in ACCESS.items() if level != PUBLIC}


@pytest.mark.anyio
async def test_access_is_what_the_table_says(
    failing: tuple[Person, Person, FailingStore],
) -> None:
    """AZ-3: 401 without a token, 403 for users where only administrators may, body unread."""
    root, ada, _ = failing
    stranger = Person(root.http)
    for call, level in ACCESS.items():
        method, path = call.split(" ")
        there = re.sub(r"{\w+}", str(MISSING_ID), path)
        statuses = []
        for person in (stranger, await again(ada), await again(root)):
            sent = {"Authorization": f"Bearer {person.token}"} if person.token else {}
            body = None if method == "GET" else {"unknown": 1}
            # Of a cursor that is none: a stream would not end.
            where = f"{there}?cursor=x" if there.endswith("/stream") else there
            answer = await root.http.request(method, where, headers=sent, json=body)
            statuses.append(answer.status_code)
        assert (statuses[0] == 401) is (level != PUBLIC), call
        assert (statuses[1] == 403) is (level == ADMIN), call
        assert not {401, 403} & set(statuses[2:]), call
