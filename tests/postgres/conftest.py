"""A server for tests that stop or freeze it."""

from collections.abc import Iterator

import pytest

from taskcore.adapters.postgres import upgrade
from tests.postgres.servers import Server, server


@pytest.fixture(scope="package")
def fragile() -> Iterator[Server]:
    """A server that runs and is migrated; a test that stops it starts it again."""
    with server() as running:
        upgrade(running.conninfo)
        yield running
