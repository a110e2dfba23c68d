"""`taskcli backup` and `taskcli restore`."""

import json
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.api.served import as_url
from tests.backups.stored import content
from tests.cli.conftest import KEY, Taskcli
from tests.cli.programs import COMMAND, environment, run, start
from tests.conftest import migrated_database

MakeUser = Callable[..., str]


@pytest.fixture
def other(database_url: str) -> Iterator[str]:
    with migrated_database(database_url) as url:
        yield url


def test_a_backup_is_made_and_restored(
    database: str,
    other: str,
    taskcli: Taskcli,
    make_user: MakeUser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_user("ada@example.org")
    stored = content(database)
    made = taskcli("backup", "b.zip", "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert (told["file"], told["bytes"]) == ("b.zip", Path("b.zip").stat().st_size)
    assert Path("b.zip").stat().st_mode & 0o777 == 0o600
    before = Path("b.zip").read_bytes()
    assert taskcli("backup", "b.zip").code == 65
    assert Path("b.zip").read_bytes() == before

    monkeypatch.setenv("DATABASE_URL", as_url(other))
    done = taskcli("restore", "b.zip")
    assert done.code == 0
    assert re.search(r" rows of \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ into ", done.err), done.err
    found = content(other)
    # The audit tells of the restore.
    told_anew = ("audit_events", "sequences")
    assert [found.pop(name) == stored.pop(name) for name in told_anew] == [False, False]
    assert found == stored
    assert taskcli("backup", "b.zip", "--replace").code == 0
    assert taskcli("users", "show", "ada@example.org").code == 0
    refused = taskcli("restore", "b.zip")
    assert refused.code == 65
    assert "--replace" in refused.err
    assert taskcli("restore", "b.zip", "--replace").code == 2  # no terminal, and no --yes
    monkeypatch.setenv("SECRET_KEY", KEY[::-1])
    replaced = taskcli("restore", "b.zip", "--replace", "--yes", "--json")
    assert json.loads(replaced.out)["same_key"] is False
    assert "unzip -p b.zip secret.key" in replaced.err
    assert KEY not in replaced.err + replaced.out


@pytest.mark.usefixtures("database")
def test_a_file_that_cannot_be_used_is_named(taskcli: Taskcli) -> None:
    Path("text").write_text("hello")
    damaged = taskcli("restore", "text")
    assert damaged.code == 65
    assert "text: is no backup of this program, or damaged" in damaged.err
    for command in (("restore", "missing"), ("backup", "missing/b.zip")):
        refused = taskcli(*command)
        assert refused.code == 1
        assert "No such file or directory" in refused.err


def test_there_is_no_backup_of_a_database_that_is_not_there(
    taskcli: Taskcli,
    tmp_path: Path,
) -> None:
    refused = taskcli("backup", "b.zip")
    assert refused.code == 78
    assert not (tmp_path / "data").exists()


def test_a_backup_beside_the_data_is_noted(taskcli: Taskcli, tmp_path: Path) -> None:
    create = ("users", "create", "--email", "ada@example.org", "--password-stdin")
    assert taskcli(*create, stdin="correct horse battery").code == 0
    said = "is in DATA_DIR, and lost with it: copy it to another machine or disk"
    Path("link").symlink_to(tmp_path / "data")
    for beside, file in ((False, "b.zip"), (True, "data/b.zip"), (True, "link/c.zip")):
        made = taskcli("backup", file)
        assert (made.code, said in made.err) == (0, beside)
        assert (tmp_path / file).exists()


def test_a_full_disk_leaves_no_file(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO users (email, email_key, hashed_password, full_name)"
            " SELECT n || '@b.c', n || '@b.c', md5(n::text), md5(n || 'x')"
            " FROM generate_series(1, 3000) t (n)"
        )
    env = environment(DATABASE_URL=as_url(database), SECRET_KEY=KEY)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(  # noqa: S603 - our own program
        [*COMMAND, "backup", "b.zip"],
        env=env | {"PYTHONDONTWRITEBYTECODE": "1"},  # no module is cut off either
        cwd=tmp_path,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "b.zip cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert run("backup", "b.zip", env=env, cwd=tmp_path).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_file(database: str, tmp_path: Path, number: int) -> None:
    env = environment(DATABASE_URL=as_url(database), SECRET_KEY=KEY)
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")  # the backup waits for it
        process = start("backup", "b.zip", env=env, cwd=tmp_path)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
        while holder.execute(waiting).fetchall() == [(0,)]:
            assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_embedded_database_moves_to_another_folder(tmp_path: Path) -> None:
    old, new = (environment(DATA_DIR=str(tmp_path / name)) for name in ("old", "new"))
    create = ("users", "create", "--email", "ada@example.org", "--password-stdin")
    assert run(*create, env=old, cwd=tmp_path, stdin=b"correct horse battery\n").code == 0
    assert run("tasks", "create", "--as", "1", "--title", "x", env=old, cwd=tmp_path).code == 0
    assert run("backup", "b.zip", env=old, cwd=tmp_path).code == 0
    assert run("restore", "b.zip", env=new, cwd=tmp_path).code == 0
    key = (tmp_path / "new/secret.key").read_bytes()
    assert key == (tmp_path / "old/secret.key").read_bytes()
    listed = ("tasks", "list", "--json")
    before, after = (run(*listed, env=env, cwd=tmp_path).out for env in (old, new))
    assert json.loads(before)["items"] == json.loads(after)["items"] != []
    assert run("tasks", "create", "--as", "1", "--title", "y", env=new, cwd=tmp_path).code == 0
