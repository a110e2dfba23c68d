"""What a bulk of long texts costs others."""

import asyncio
import math
from collections.abc import Sequence

import pytest

from taskcore import Core, Create, Operation, Overloaded
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.domain import search
from taskcore.lanes import MAX_WAITING_OF_ONE
from taskcore.ports import BUDGET, TimeBudget
from taskcore.testing import CheapHasher
from tests.conftest import ManualClock, bound, until
from tests.usecases.people import Person, join

pytestmark = pytest.mark.anyio


async def sent(
    core: Core, person: Person, operations: Sequence[Operation], key: str | None
) -> None:
    async def work(core: Core) -> bytes:
        await core.tasks.bulk(person.actor, operations)
        return b""

    if key is None:
        await work(core)
    else:
        await core.once(person.actor, key, key.encode(), work)


@pytest.mark.parametrize("with_key", [False, True], ids=["bare", "with a key"])
async def test_the_words_of_a_bulk_are_found_without_a_connection_and_one_text_at_a_time(
    connections: Connections, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, *, with_key: bool
) -> None:
    """For a hundred texts that takes a tenth of a second of the event loop."""
    core = bound(PostgresStore(connections), clock, CheapHasher())
    ada = await join(core, "ada")
    texts = [chr(0xAC00 + number) * 1000 for number in range(5)]
    operations = [Create({"title": "x", "description": text}) for text in texts]
    rounds, found = 0, list[tuple[int, object]]()
    fold = search._fold

    def spy(text: str) -> str:
        found.append((rounds, connections.measures()["pool_connections:in use"]))
        return fold(text)

    async def counting() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(search, "_fold", spy)
    counter = asyncio.create_task(counting())
    await sent(core, ada, operations, "key" if with_key else None)
    counter.cancel()
    assert [in_use for _, in_use in found] == [0] * len(texts)
    assert len({number for number, _ in found}) == len(texts)


@pytest.mark.parametrize("with_key", [False, True], ids=["bare", "with a key"])
async def test_the_words_of_a_bulk_are_found_when_it_is_the_turn_of_its_user(
    connections: Connections, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, *, with_key: bool
) -> None:
    """Not for a bulk that is refused, or whose client has left before: others wait for that."""
    store = PostgresStore(connections)
    core = bound(store, clock, CheapHasher())
    ada = await join(core, "ada")
    found: list[str] = []
    fold = search._fold

    def spy(text: str) -> str:
        found.append(text[0])
        return fold(text)

    monkeypatch.setattr(search, "_fold", spy)
    left, lane = asyncio.Event(), store._shared.transactions
    monkeypatch.setattr(lane, "_wait", 60.0)

    async def bulk(number: int) -> None:
        BUDGET.set(TimeBudget(math.inf, gone=left.wait if number else None))
        text = chr(0xAC00 + number) * 1000
        operations = [Create({"title": "x", "description": text})]
        await sent(core, ada, operations, f"key-{number}" if with_key else None)

    async with lane.turn(ada.user.id):
        bulks = [asyncio.create_task(bulk(number)) for number in range(MAX_WAITING_OF_ONE + 3)]
        await until(lambda: sum(each.done() for each in bulks) == 3)  # which are too many
        left.set()
        await until(lambda: all(each.done() for each in bulks[1:]))
        assert found == []
    outcomes = await asyncio.gather(*bulks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] + [Overloaded] * (len(bulks) - 1)
    assert found == [chr(0xAC00)]
