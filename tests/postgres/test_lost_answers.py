"""The connection is lost at every message of a request: with a key it is done once all the same."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import httpx
import psycopg
import pytest

from taskapi.housekeeping import Housekeeper
from taskcore import Role
from taskcore.adapters.postgres import Connections, PostgresStore
from tests.api.conftest import app_over, opened, quiet
from tests.api.people import Person, join
from tests.api.test_idempotency import CALLS, prepared
from tests.conftest import ManualClock, bound, cheap_argon2, emptied
from tests.postgres.cutting import Cutter, cutting

pytestmark = pytest.mark.anyio

__all__ = ["quiet"]  # a fixture

ATTEMPTS = 5


class Site:
    """The API over a database whose connections can be cut, and two users."""

    def __init__(self, cutter: Cutter, url: str, root: Person, ada: Person) -> None:
        self.cutter, self.root, self.ada = cutter, root, ada
        self._url = url

    def stored(self, title: str) -> int:
        """How many tasks have the title, by a connection of its own."""
        with psycopg.connect(self._url) as connection:
            query = "SELECT count(*) FROM tasks WHERE title = %s"
            row = connection.execute(query, [title]).fetchone()
        assert row
        return int(row[0])

    async def retried(
        self, person: Person, call: str, path: str, body: object, key: str | None
    ) -> AsyncIterator[httpx.Response]:
        """Every answer to the request, which is sent again while the answer is 503."""
        headers = {"Idempotency-Key": key} if key else {}
        for _ in range(ATTEMPTS):
            answer = await person.ask(call, path, body, headers=headers)
            yield answer
            if answer.status_code != 503:
                return
        raise AssertionError(answer.text)


@pytest.fixture
async def site(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    async def nothing(_: Housekeeper) -> None: ...

    monkeypatch.setattr(Housekeeper, "_sweep", nothing)  # its messages would count
    emptied(database_url)
    with tempfile.TemporaryDirectory(prefix="cut-", dir="/tmp") as folder:
        async with (
            cutting(database_url, Path(folder)) as (cutter, url),
            # One alone, and so a new one after each cut, whose messages are always the same.
            Connections(url, size=1) as connections,
            cheap_argon2() as hasher,
        ):
            core = bound(PostgresStore(connections), clock, hasher)
            async with opened(app_over(core)) as http:
                root = await join(core, http, "root", Role.ADMIN)
                ada = await join(core, http, "ada")
                await ada.task("the first, which opens the account")
                yield Site(cutter, database_url, root, ada)


@pytest.mark.parametrize(
    "turns", [True, pytest.param(False, id="every message", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("has_key", [True, False])
async def test_a_lost_answer_makes_no_second_task(
    site: Site, *, turns: bool, has_key: bool
) -> None:
    """Without a key it does. `unavailable` is never said of what was done."""
    seen: Counter[str] = Counter()
    for number in count():
        title = f"task {number}"
        site.cutter.cut_after(number, turns=turns)
        key = title.replace(" ", "-") if has_key else None
        async for answer in site.retried(site.ada, "POST", "/tasks", {"title": title}, key):
            if answer.status_code == 503:
                code = answer.json()["code"]
                assert code == "outcome_unknown" or not site.stored(title)
                seen[code] += 1
            else:
                assert answer.status_code == 201, answer.text
                assert answer.json()["title"] == title
                seen["replayed"] += "idempotency-replayed" in answer.headers
        stored = site.stored(title)
        seen["stored twice"] += stored == 2
        assert stored == 1 or not has_key
        if not site.cutter.has_cut():
            break
    assert seen["unavailable"] > 0
    assert seen["outcome_unknown"] > 0
    assert (seen["replayed"] > 0) is has_key
    assert (seen["stored twice"] > 0) is not has_key


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
async def test_every_call_with_a_key_is_done_once(site: Site, call: str) -> None:
    """A second effect would show: as 404 or 409, or by the version of the task."""
    replayed = 0
    for number in count():
        person, method, path, body = await prepared(call, site.root, site.ada)
        site.cutter.cut_after(number, turns=False)
        async for answer in site.retried(person, method, path, body, f"key-{number}"):
            last = answer
        assert last.is_success, last.text
        if last.content and "version" in last.json():
            assert last.json()["version"] <= 3
        replayed += "idempotency-replayed" in last.headers
        if not site.cutter.has_cut():
            break
    assert replayed > 0
