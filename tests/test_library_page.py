"""The code of docs/library.md runs as it stands there."""

import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from taskcore import Core
from taskcore.adapters.memory import memory_core
from taskcore.testing import CheapHasher
from tests.api.served import as_url
from tests.conftest import emptied
from tests.usecases.people import join

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[1] / "docs/library.md"
FRAMEWORKS = ("fastapi", "django")  # `make test-frameworks` has them
KEY = "0123456789abcdef" * 4
Names = dict[str, Any]


@pytest.fixture(scope="module")
def names(database_url: str) -> Iterator[Names]:
    """What the blocks define, run one after the other in a fresh PostgreSQL."""
    emptied(database_url)
    found: Names = {"__name__": "library"}
    with pytest.MonkeyPatch.context() as patch:
        for prefix in ("", "TASKCORE_"):
            patch.setenv(f"{prefix}DATABASE_URL", as_url(database_url))
            patch.setenv(f"{prefix}SECRET_KEY", KEY)
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            if any(name in block and find_spec(name) is None for name in FRAMEWORKS):
                continue
            exec(compile(block, str(PAGE), "exec"), found)  # noqa: S102 - our own
        yield found
        if "core" in found:
            found["core"]().close()
    emptied(database_url)


async def test_what_takes_a_core_and_an_actor_runs(names: Names) -> None:
    functions = [
        found
        for found in names.values()
        if inspect.iscoroutinefunction(found)
        and list(inspect.signature(found).parameters)[:2] == ["core", "actor"]
    ]
    results = {}
    for function in functions:
        core = memory_core(hasher=CheapHasher())
        results[function.__name__] = await function(core, (await join(core, "ada")).actor)
    assert len(results) == 7
    assert results["refusals"] == [("title", "too_short"), ("labels/1", "duplicate_label")]
    assert results["import_row"][1] is False
    assert [task.title for task in results["copy_and_follow"].values()] == ["news"]
    assert [task and task.labels for task in results["tidy_up"]] == [None, ("home",)]


async def test_what_stands_for_itself_runs(names: Names) -> None:
    await names["test_a_session_ends_after_a_week"]()
    assert (await names["open_with_adapters"]()).total == 0


async def token_of(core: Core) -> str:
    grant = await core.sessions.log_in(email="ada@example.org", password="correct horse")
    return grant.access_token


async def test_fastapi_answers_with_entities(names: Names) -> None:
    pytest.importorskip("fastapi")
    app = names["app"]
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        head = {"Authorization": f"Bearer {await token_of(app.state.core)}"}
        task = await client.get("/tasks/1", headers=head)
        assert (task.status_code, task.json()["labels"]) == (200, ["home"])
        missing = await client.get("/tasks/999", headers=head)
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
        assert schemas["Task"]["properties"]["due_at"]


def test_the_script_runs(names: Names) -> None:
    assert names["script"]().email == "ada@example.org"


def test_the_view_of_django_answers(names: Names) -> None:
    pytest.importorskip("django")
    from django.conf import settings  # noqa: PLC0415 - Django is set up first
    from django.test import RequestFactory  # noqa: PLC0415

    settings.configure(ALLOWED_HOSTS=["*"])
    token = names["core"]().run(token_of)
    request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
    answer = names["task_titles"](request)
    assert (answer.status_code, answer.content) == (200, b'{"titles": ["Write the letter"]}')
    assert names["core"]() is names["core"]()
