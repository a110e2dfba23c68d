"""A server migrates the embedded database of an earlier release, and its log says so."""

import asyncio
from pathlib import Path

import pytest

from taskcore.adapters.postgres.schema import REVISION
from taskcore.settings import Settings
from taskcore.wiring import start_database, upgrade_database


@pytest.mark.long
def test_the_log_says_from_which_revision_to_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(None, None, tmp_path)
    asyncio.run(upgrade_database(settings, "0012"))
    with asyncio.run(start_database(settings, serving=True)):
        pass
    assert f"upgraded the database from revision 0012 to {REVISION}" in caplog.text
