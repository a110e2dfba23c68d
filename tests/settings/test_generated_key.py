"""The key that is made where none is configured."""

import errno
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskcore.adapters.folders import remedy
from taskcore.adapters.keys import generated_secret, place_secret
from taskcore.domain.errors import Misconfigured


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "secret.key"
    key = generated_secret(file)
    assert len(key) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert generated_secret(file) == key
    assert [path.name for path in file.parent.iterdir()] == ["secret.key"]
    assert generated_secret(tmp_path / "other") != key


def test_everybody_who_starts_at_once_has_the_same_key(tmp_path: Path) -> None:
    for turn in range(20):
        file = tmp_path / f"{turn}" / "secret.key"
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(generated_secret, [file] * 8))
        assert len(keys) == 1
        assert [path.name for path in file.parent.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret.key"
    key = generated_secret(file)
    file.chmod(mode)
    with pytest.raises(Misconfigured) as refusal:
        generated_secret(file)
    assert key.decode() not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b" " * 64])
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret.key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(Misconfigured):
        generated_secret(file)
    assert file.read_bytes() == content


def test_a_place_where_no_key_can_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "secret.key", tmp_path):
        with pytest.raises(Misconfigured):
            generated_secret(place)


def test_a_key_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """Root may make it for a service that runs under another account."""
    folder = tmp_path / "data"
    folder.mkdir()
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    if os.geteuid() == 0:
        os.chown(folder, owner, owner)
    key = generated_secret(folder / "secret.key")
    assert (folder / "secret.key").stat().st_uid == owner
    assert generated_secret(folder / "secret.key") == key


def test_a_key_of_another_account_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others may write into the folder they may have put theirs there."""
    file = tmp_path / "secret.key"
    generated_secret(file)
    real = os.fstat

    def fstat(fd: int) -> os.stat_result:
        status = real(fd)
        other = os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))
        return other if stat.S_ISREG(status.st_mode) else status

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(Misconfigured, match="belongs to another user"):
        generated_secret(file)


def test_a_restored_key_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "data" / "secret.key"
    other = b"f" * 64
    place_secret(file, other)
    assert generated_secret(file) == other
    file.unlink()
    assert generated_secret(file) != other
    (file.parent / "secret.key.restored").write_text("left by a process that was killed")
    place_secret(file, other)
    assert generated_secret(file) == other
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["secret.key"]


def test_advice_on_a_folder_names_one_that_exists_or_makes_it(tmp_path: Path) -> None:
    refused = PermissionError(errno.EACCES, "Permission denied")
    assert re.search(rf"`chown -hR \d+:\d+ {tmp_path}`", remedy(refused, tmp_path))
    missing = tmp_path / "missing"
    advice = remedy(refused, missing)
    assert re.search(rf"`install -d -m 0700 -o \d+ -g \d+ {missing}`", advice)
