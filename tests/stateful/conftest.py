"""Stores on which the steps of stateful tests run."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from taskcore.adapters.memory.store import MemoryStore
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.ports import Store
from tests.conftest import STORES, emptied


@dataclass(frozen=True)
class Place:
    """Where examples run; those on PostgreSQL share a database, each has an account of its own."""

    runner: asyncio.Runner
    store: Callable[[], Store]


@pytest.fixture(scope="module", params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with asyncio.Runner() as runner:
        if request.param == "memory":
            yield Place(runner, MemoryStore)
            return
        url: str = request.getfixturevalue("database_url")
        emptied(url)
        stack = AsyncExitStack()
        connections = runner.run(stack.enter_async_context(Connections(url)))
        yield Place(runner, lambda: PostgresStore(connections))
        runner.run(stack.aclose())
