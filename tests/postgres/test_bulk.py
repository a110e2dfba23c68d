"""What a bulk of long texts costs others."""

import asyncio

import pytest

from taskcore import Core, Create
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.domain import search
from taskcore.testing import CheapHasher
from tests.conftest import ManualClock, bound
from tests.usecases.people import join

pytestmark = pytest.mark.anyio


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
    if with_key:

        async def work(core: Core) -> bytes:
            await core.tasks.bulk(ada.actor, operations)
            return b""

        await core.once(ada.actor, "key", b"", work)
    else:
        await core.tasks.bulk(ada.actor, operations)
    counter.cancel()
    assert [in_use for _, in_use in found] == [0] * len(texts)
    assert len({number for number, _ in found}) == len(texts)
