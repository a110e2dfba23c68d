"""A short walk of the fuzzer; `make fuzz` takes the long one."""

from pathlib import Path

import pytest

from tests.api.served import serving
from tests.fuzz.run import fuzz, server_faults


def test_the_fuzzer_finds_nothing(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, database_url) as api:
        # Without `coverage`, which takes most of the time and is the same each time.
        code = fuzz(api, "admin", 2, 1, phases="examples,fuzzing,stateful")
        faults = server_faults(api)
    assert code == 0, capfd.readouterr().out
    assert not faults
