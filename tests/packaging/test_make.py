"""`make run` and `taskcli` keep the data in the same place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        *(("DATA_DIR=/x", "/x"), ("DATA_DIR = /x", "/x"), ("  export  DATA_DIR=/x", "/x")),
        *(('DATA_DIR="/x"', "/x"), ("#DATA_DIR=/x", None), ("DATA_DIR=", None), ("A=1", None)),
    ],
)
def test_make_and_the_program_find_the_same_folder(
    tmp_path: Path, line: str, folder: str | None
) -> None:
    (tmp_path / ".env").write_text(line + "\n")
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOME": "/nonexistent"}
    done = subprocess.run(  # noqa: S603 - ours
        [
            *("make", "--silent", "--file", ROOT / "Makefile", "shown"),
            *("--eval", f"shown: ; @{sys.executable} -m taskcli config show --json"),
        ],
        cwd=tmp_path,
        env=own,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["DATA_DIR"] == (folder or str(tmp_path / ".data"))
