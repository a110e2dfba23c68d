"""A data folder that is ready to serve."""

from pathlib import Path

import pytest

from tests.server.running import ADA, Api


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a migrated database and Ada's account.

    All tests share it, even those that kill the server. A test that counts rows registers an
    account of its own.
    """
    folder = tmp_path_factory.mktemp("served")
    with Api(folder) as api:
        api.ready().register(ADA)
        assert api.stop() == 0
    return folder
