"""The contracts of the ports as suites of pytest: an adapter that passes its suite fits the core.

    import pytest
    from taskcore.testing.contracts import StoreContract

    class TestSqliteStore(StoreContract):
        @pytest.fixture
        async def store(self):
            async with SqliteStore(":memory:") as store:  # empty, and without rows of other tests
                yield store

Each suite names in its docstring the fixtures that it asks for. They may be asynchronous: the tests
run on asyncio, by the plugin of anyio. `pip install 'taskcore[testing]'` brings what suites need.
"""

from pkgutil import iter_modules

from taskcore.extras import needing

with needing("testing"):
    import anyio as _anyio  # noqa: F401 - its plugin runs the tests
    import hypothesis as _hypothesis  # noqa: F401 - it makes up examples
    import pytest

# So that a failed assertion shows its values, as in a test module.
pytest.register_assert_rewrite(*(f"{__name__}.{each.name}" for each in iter_modules(__path__)))

# ruff: noqa: E402 - the suites are imported after that
from taskcore.testing.contracts.access_tokens import AccessTokenContract
from taskcore.testing.contracts.audit import AuditContract
from taskcore.testing.contracts.bulk import BulkContract
from taskcore.testing.contracts.events import EventContract
from taskcore.testing.contracts.hashers import HasherContract
from taskcore.testing.contracts.idempotency import IdempotencyContract
from taskcore.testing.contracts.leftovers import LeftoverContract
from taskcore.testing.contracts.rate_limiters import LimiterContract, Limiting
from taskcore.testing.contracts.read_ahead import ReadAheadContract
from taskcore.testing.contracts.refresh_tokens import RefreshTokenContract
from taskcore.testing.contracts.sessions import SessionContract
from taskcore.testing.contracts.task_labels import TaskLabelContract
from taskcore.testing.contracts.task_limits import TaskLimitContract
from taskcore.testing.contracts.task_lists import TaskListContract
from taskcore.testing.contracts.task_search import TaskSearchContract
from taskcore.testing.contracts.tasks import TaskContract
from taskcore.testing.contracts.transactions import TransactionContract
from taskcore.testing.contracts.trash import TrashContract
from taskcore.testing.contracts.users import UserContract

__all__ = [
    "AccessTokenContract",
    "AuditContract",
    "BulkContract",
    "EventContract",
    "HasherContract",
    "IdempotencyContract",
    "LeftoverContract",
    "LimiterContract",
    "Limiting",
    "ReadAheadContract",
    "RefreshTokenContract",
    "SessionContract",
    "StoreContract",
    "TaskContract",
    "TaskLabelContract",
    "TaskLimitContract",
    "TaskListContract",
    "TaskSearchContract",
    "TransactionContract",
    "TrashContract",
    "UserContract",
]


class StoreContract(
    TransactionContract,
    UserContract,
    SessionContract,
    ReadAheadContract,
    TaskContract,
    TaskLabelContract,
    TaskLimitContract,
    TaskListContract,
    TaskSearchContract,
    TrashContract,
    BulkContract,
    EventContract,
    IdempotencyContract,
    LeftoverContract,
    AuditContract,
):
    """All that `ports.Store` promises, on the fixture `store`: an empty store for each test."""
