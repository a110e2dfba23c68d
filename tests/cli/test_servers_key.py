"""Commands with another key than that of the servers, or with none."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from taskcore import Settings
from taskcore.wiring import start_database
from tests.api.served import as_url
from tests.cli.conftest import KEY, Taskcli
from tests.conftest import migrated_database
from tests.factories import PASSWORD

OTHER = KEY[::-1]
ADA = "ada@example.org"
ONCE = ("tasks", "create", "--as", ADA, "--title", "x", "--idempotency-key", "one")


def served() -> None:
    """What the start of a server does to the database."""
    asyncio.run(start_database(Settings.load(), serving=True)).close()


def doctors_key(taskcli: Taskcli) -> tuple[int, dict[str, object]]:
    done = taskcli("doctor", "--json")
    (key,) = [check for check in json.loads(done.out)["checks"] if check["name"] == "key"]
    return done.code, key


@pytest.mark.parametrize("command", [("backup", "b.zip"), ("users", "unlock", ADA), ONCE])
def test_what_needs_the_key_of_the_servers_is_refused_with_another(
    taskcli: Taskcli,
    make_user: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    make_user(ADA)
    served()
    monkeypatch.setenv("SECRET_KEY", OTHER)
    refused = taskcli(*command)
    assert (refused.code, refused.out) == (78, "")
    assert "sign with another key" in refused.err
    assert "set SECRET_KEY or SECRET_KEY_FILE" in refused.err
    assert KEY not in refused.err
    assert not Path("b.zip").exists()
    monkeypatch.setenv("SECRET_KEYS_OLD", json.dumps([KEY]))  # while keys change
    assert taskcli(*command).code == 0


@pytest.mark.usefixtures("database")
def test_the_doctor_compares_the_key(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    served()
    assert doctors_key(taskcli)[0] == 0
    monkeypatch.setenv("SECRET_KEY", OTHER)
    code, key = doctors_key(taskcli)
    assert (code, key["ok"]) == (78, False)
    assert "set SECRET_KEY" in str(key["advice"])
    assert taskcli("users", "list").code == taskcli("audit").code == 0
    served()
    assert doctors_key(taskcli)[0] == 0


def test_a_restore_under_another_key_says_so_and_what_follows_works(
    taskcli: Taskcli,
    database: str,
    make_user: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_user(ADA)
    served()
    assert taskcli("backup", "b.zip").code == 0
    with migrated_database(database) as other:
        monkeypatch.setenv("DATABASE_URL", as_url(other))
        monkeypatch.setenv("SECRET_KEY", OTHER)
        done = taskcli("restore", "b.zip", "--json")
        assert (done.code, json.loads(done.out)["same_key"]) == (0, False)
        assert "sessions revoke --all" in done.err
        assert "unzip -p b.zip secret.key" in done.err
        assert taskcli("backup", "c.zip").code == doctors_key(taskcli)[0] == 0
        monkeypatch.setenv("SECRET_KEY", KEY)
        assert taskcli("backup", "d.zip").code == 78


@pytest.mark.parametrize(
    ("key", "said"), [(KEY, ""), (OTHER, "the key in the file is not that of its servers")]
)
def test_sessions_last_under_the_key_of_the_servers_whatever_the_file_holds(
    taskcli: Taskcli, database: str, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    served()
    monkeypatch.setenv("SECRET_KEY", OTHER)
    monkeypatch.setenv("SECRET_KEYS_OLD", json.dumps([KEY]))
    assert taskcli("backup", "b.zip").code == 0  # with the new key, before any server has it
    monkeypatch.delenv("SECRET_KEYS_OLD")
    monkeypatch.setenv("SECRET_KEY", key)
    with migrated_database(database) as other:
        monkeypatch.setenv("DATABASE_URL", as_url(other))
        done = taskcli("restore", "b.zip", "--json")
    assert json.loads(done.out)["same_key"] is (key == KEY)
    assert ("sessions revoke --all" in done.err) is (key != KEY)
    assert said in done.err


class TestWithTheEmbeddedDatabase:
    @pytest.fixture
    def key_file(self, taskcli: Taskcli, tmp_path: Path) -> Path:
        made = taskcli("users", "create", "--email", ADA, "--password-stdin", stdin=PASSWORD)
        assert made.code == 0, made.err
        return tmp_path / "data" / "secret.key"

    def test_no_command_makes_a_key_beside_that_of_the_servers(
        self, taskcli: Taskcli, key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_KEY", KEY)
        served()
        monkeypatch.delenv("SECRET_KEY")
        assert taskcli("users", "list").code == taskcli("tasks", "list").code == 0
        for command in (("backup", "b.zip"), ("users", "unlock", ADA), ONCE):
            refused = taskcli(*command)
            assert (refused.code, refused.out) == (78, "")
            assert f"and here is none, also not in {key_file}" in refused.err
        code, key = doctors_key(taskcli)
        assert (code, key["ok"]) == (78, False)
        assert f"and here is none, also not in {key_file}" in str(key["detail"])
        assert not key_file.exists()
        assert not Path("b.zip").exists()

    def test_a_key_is_made_where_one_is_needed_and_no_server_has_another(
        self, taskcli: Taskcli, key_file: Path
    ) -> None:
        assert not key_file.exists()
        first, again = (taskcli(*ONCE, "--json") for _ in range(2))
        assert first.out == again.out != ""
        assert key_file.stat().st_mode & 0o777 == 0o600
        before = key_file.read_bytes()
        assert taskcli("backup", "b.zip").code == 0
        served()
        assert key_file.read_bytes() == before
        assert taskcli("backup", "c.zip").code == doctors_key(taskcli)[0] == 0
