"""The contract of `ports.BulkRepository`, on every store: bulks leave what single writes leave."""

import pytest
from hypothesis import given, settings

from taskcore.domain.bulk import Operation
from taskcore.ports import Store
from taskcore.testing.contracts import BulkContract
from taskcore.testing.contracts.bulk import OPERATIONS, agree
from taskcore.testing.contracts.contract import SHARED


class TestBulk(BulkContract):
    """On the fixture `store` of tests/conftest.py, which is both stores in turn."""

    @pytest.mark.long
    @settings(SHARED, max_examples=400, derandomize=False)
    @given(OPERATIONS)
    async def test_hundreds_of_bulks_do_what_the_single_operations_do(
        self, store: Store, operations: list[Operation]
    ) -> None:
        await agree(store, operations)
