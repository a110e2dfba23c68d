"""The unit for systemd, checked without systemd: what it runs, and which ends it survives."""

import configparser
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from taskcli.exits import CONFIGURATION, UNAVAILABLE
from taskcli.graceful_stop import REQUESTS_FINISH_WITHIN
from tests.packaging.conftest import ROOT, Installed, run

UNIT = ROOT / "deploy" / "taskcore.service"


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    """Of a name that stands there several times, such as Environment, only the last value."""
    parsed = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(UNIT.read_text())
    return parsed


def test_a_database_that_is_away_leaves_no_failed_unit(unit: configparser.ConfigParser) -> None:
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "on-failure"
    # systemd compares this with the end of the main process alone, which therefore migrates.
    assert unit["Service"]["RestartPreventExitStatus"] == str(CONFIGURATION)
    assert "ExecStartPre" not in unit["Service"]
    assert int(unit["Service"]["TimeoutStopSec"]) > REQUESTS_FINISH_WITHIN + 8


@pytest.mark.parametrize(
    ("url", "code"),
    [("postgresql://ada@/tasks?host=/nonexistent", UNAVAILABLE), ("mysql://x", CONFIGURATION)],
)
def test_the_main_process_ends_with_the_code_of_what_is_wrong(
    unit: configparser.ConfigParser, installed: Installed, tmp_path: Path, url: str, code: int
) -> None:
    line = unit["Service"]["ExecStart"].replace("/opt/taskcore/bin/taskcli", str(installed.taskcli))
    done = subprocess.run(  # noqa: S603 - our own program
        shlex.split(line),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr


def test_commands_beside_the_unit_have_its_account_settings_and_key(
    unit: configparser.ConfigParser,
) -> None:
    script = (ROOT / "deploy" / "taskcli").read_text()
    for name in ("User", "UMask", "StateDirectory", "WorkingDirectory", "LoadCredential"):
        assert f"--property={name}={unit['Service'][name]} " in script
    assert "--property=EnvironmentFile=/etc/taskcore/env " in script
    # The script knows these two; every other setting is in the file that both read.
    set_here = re.findall(r"^Environment=(\w+)=(\S+)$", UNIT.read_text(), re.MULTILINE)
    assert set_here == [
        ("SECRET_KEY_FILE", "%d/secret_key"),
        ("DATA_DIR", unit["Service"]["WorkingDirectory"]),
    ]
    assert UNIT.read_text().count("\nEnvironment=") == len(set_here)
    assert "SECRET_KEY_FILE=$CREDENTIALS_DIRECTORY/secret_key " in script
    assert f"--setenv=DATA_DIR={unit['Service']['WorkingDirectory']} " in script
    assert os.access(ROOT / "deploy" / "taskcli", os.X_OK)
    assert run("/bin/sh", "-n", ROOT / "deploy" / "taskcli").returncode == 0
