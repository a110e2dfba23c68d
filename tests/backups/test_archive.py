"""The file of a backup: complete or not there, and anything but a whole one is refused."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from taskcore import Conflict, Invalid
from taskcore.adapters.archive import Archive, Manifest, Sum, Table, Writer, digest_of, new_file
from tests.backups.stored import SECRET, untold

ROWS = [b"1\tone\n", b"2\t\\N\n", b"3\t" + b"x" * 300_000 + b"\n"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A backup with one table."""
    path = tmp_path / "backup"
    found = Sum("users", untold)
    with new_file(path, replace=False) as file, Writer(file) as writer:
        with writer.table("users") as write:
            for row in ROWS:
                write(row)
                found.add(row)
        table = Table("users", ["id", "email"], found.rows, found.end())
        made = Manifest("2026-11-27T12:00:00+00:00", "18.6", "0011", [table], key=digest_of(SECRET))
        writer.finish(made, SECRET)
    return path


def checked(path: Path) -> bool:
    try:
        with Archive(path) as opened:
            opened.check(untold)
    except Invalid:
        return False
    return True


def test_what_was_written_is_read(written: Path) -> None:
    with Archive(written) as opened:
        opened.check(untold)
        (table,) = opened.manifest.tables
        assert b"".join(opened.chunks(table)) == b"".join(ROWS)
        assert opened.secret() == SECRET
        assert opened.manifest.rows == 3


def test_the_sum_depends_on_the_rows_and_not_on_their_order() -> None:
    sums = []
    for rows in (ROWS, ROWS[::-1], ROWS[:2], [*ROWS, ROWS[0]], [ROWS[0], ROWS[0], ROWS[2]]):
        found = Sum("users", untold)
        for row in rows:
            found.add(row)
        sums.append(found.end())
    assert sums[0] == sums[1]
    assert len(set(sums)) == 4


def test_a_file_that_is_cut_off_or_changed_is_refused(written: Path, tmp_path: Path) -> None:
    whole = written.read_bytes()
    assert checked(written)
    other = tmp_path / "other"
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        other.write_bytes(whole[:length])
        assert not checked(other), length
    for place in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        other.write_bytes(changed)
        if checked(other):  # a time or an attribute of the zip, which mean nothing here
            with Archive(other) as opened, Archive(written) as original:
                assert opened.manifest == original.manifest


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"{}"])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert not checked(tmp_path / "x")


@pytest.mark.parametrize(
    "change",
    [
        {"revision": ["0011"]},
        {"sequences": {"public.tasks_id_seq": 1}},
        {"sequences": {"tasks_id_seq": "1"}},
        {"sequences": []},
        {"tables": [{"name": "users", "columns": 5}]},
        {"tables": [{"name": 'users"; x', "columns": []}]},
        {"made_at": "x" * (1 << 21)},
        {"made_at": "yesterday"},
        {"made_at": "2026-11-28T01:02:03"},
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    now = "2026-11-28T01:02:03.456789+00:00"
    made: dict[str, object] = {"made_at": now, "postgres": "", "revision": "0011", "tables": []}
    path = tmp_path / "backup"
    for content, is_whole in ((made, True), (made | change, False)):
        with ZipFile(path, "w", ZIP_DEFLATED) as file:
            file.writestr("secret.key", SECRET)
            found = content | {"format": 1, "key": digest_of(SECRET)}
            file.writestr("manifest.json", json.dumps(found))
        assert checked(path) is is_whole


def test_a_file_that_unpacks_without_end_is_refused_in_little_memory(tmp_path: Path) -> None:
    deep, path = b"[" * 500_000, tmp_path / "backup"
    for name, content in (("manifest.json", bytes(1 << 27)), ("manifest.json", deep)):
        with ZipFile(path, "w", ZIP_DEFLATED) as file:
            file.writestr(name, content)
        tracemalloc.start()
        assert not checked(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 24


def test_a_new_file_is_private_and_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    with new_file(path, replace=False) as file:
        file.write(b"one")
        assert not path.exists()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)
    with pytest.raises(Conflict), new_file(path, replace=False):
        pytest.fail("it is refused before the work")
    path.chmod(0o644)
    with new_file(path, replace=True) as file:
        file.write(b"two")
        assert path.read_bytes() == b"one"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o600)
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(Conflict), new_file(path, replace=False):
        pytest.fail("it is refused before the work")
    assert [entry.name for entry in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("nameless", [True, False])
def test_nothing_is_left_of_a_file_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")
    path = tmp_path / "backup"
    with pytest.raises(ZeroDivisionError), new_file(path, replace=False) as file:
        file.write(bytes(1 // len(b"")))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Conflict), new_file(path, replace=False):
        path.write_bytes(b"of another process")
    assert path.read_bytes() == b"of another process"
    assert list(tmp_path.iterdir()) == [path]
    with new_file(path, replace=True) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from taskcore.adapters.archive import new_file\n"
        "with new_file(Path(sys.argv[1]) / 'backup', replace=False) as file:\n"
        "    file.write(b'x' * 100000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, tmp_path], env=env, check=False)  # noqa: S603 - ourselves
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
