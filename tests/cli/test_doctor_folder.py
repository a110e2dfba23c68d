"""What `taskcli doctor` says of a DATA_DIR that the account may not use."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from taskcli.doctor_findings import Finding
from taskcli.doctor_folder import disk
from taskcore import Settings

STRANGER = 65534


def found_in(data: Path) -> Finding:
    """What it says to an account that is not root, which may use every folder."""
    settings = Settings.from_env({"DATA_DIR": str(data)})
    if as_root := os.geteuid() == 0:
        os.seteuid(STRANGER)
    try:
        found = disk(settings)
    finally:
        if as_root:
            os.seteuid(0)
    assert (found.ok, found.code) == (False, 78)
    return found


@pytest.fixture
def data() -> Iterator[Path]:
    """DATA_DIR, which every account reaches: `tmp_path` is closed to others."""
    with TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = Path(above, "data")
        folder.mkdir(mode=0o700)
        yield folder
        Path(above).chmod(0o700)
        if folder.exists():
            folder.chmod(0o700)


@pytest.mark.parametrize("entry", ["", "postgres"])
def test_a_folder_of_another_account_is_named_with_its_owner(data: Path, entry: str) -> None:
    if os.geteuid():
        pytest.fail("only root has folders of two accounts: run this test as root")
    os.chown(data, STRANGER if entry else 0, -1)
    if entry:
        (data / entry).mkdir(mode=0o700)
    found = found_in(data)
    assert found.detail == f"{data / entry} belongs to root; this account may not write there"
    assert "run this as root" in str(found.advice)
    assert f"chown -hR {STRANGER}:" in str(found.advice)


def test_a_folder_that_its_owner_may_not_write_is_named(data: Path) -> None:
    if not os.geteuid():
        os.chown(data, STRANGER, -1)
    data.chmod(0o500)
    found = found_in(data)
    assert (found.detail, found.advice) == (
        f"{data} may not be written by its owner",
        f"run `chmod u+rwx {data}`",
    )


def test_a_file_system_that_cannot_be_written_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(data)
    read_only = os.statvfs_result([*real[:8], os.ST_RDONLY, *real[9:]])
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    data.chmod(0o500)
    found = found_in(data)
    assert "mounted read-only" in found.detail


def test_a_folder_that_this_account_may_not_make_is_named(data: Path) -> None:
    data.rmdir()
    data.parent.chmod(0o555)
    found = found_in(data)
    assert "install -d -m 0700 -o " in str(found.advice) or os.geteuid()
