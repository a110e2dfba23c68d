"""A data folder that was served before."""

from pathlib import Path

import pytest

from tests.server.running import ADA, Api


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its database is made and migrated, and has Ada's account.

    It is shared: whatever ends a server, this data outlives it. Tests that must count work on an
    account of their own.
    """
    folder = tmp_path_factory.mktemp("served")
    with Api(folder) as api:
        api.ready().register(ADA)
        assert api.stop() == 0
    return folder
