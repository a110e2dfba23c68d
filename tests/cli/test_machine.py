"""`taskcli db`, `config`, `doctor` and `completion`: what an operator asks about a machine."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskcli import doctor
from taskcore import wiring
from tests.cli.conftest import KEY, Operator

NOWHERE = "postgresql://ada:sesame@/tasks?host=/nonexistent"


@pytest.mark.usefixtures("bare_database")
def test_a_bare_database_is_brought_to_the_schema(operator: Operator) -> None:
    before = operator("db", "check")
    assert (before.code, before.out) == (1, "")
    assert "taskcli db upgrade" in before.err
    assert json.loads(operator("db", "current", "--json").out) == {"revision": None}
    assert operator("db", "current").out == ""
    assert operator("doctor").code == 1

    assert operator("db", "upgrade").code == 0
    after = operator("db", "check")
    assert (after.code, after.out, after.err) == (0, "", "")
    revision = operator("db", "current").out.strip()
    assert json.loads(operator("db", "current", "--json").out) == {"revision": revision}
    assert operator("db", "upgrade").code == 0


@pytest.mark.usefixtures("bare_database")
def test_an_upgrade_may_stop_on_the_way(operator: Operator) -> None:
    assert operator("db", "upgrade", "--revision", "0001").code == 0
    assert operator("db", "current").out == "0001\n"
    assert operator("db", "check").code == 1


@pytest.mark.usefixtures("bare_database")
def test_a_database_that_is_not_migrated_is_not_used(operator: Operator) -> None:
    refused = operator("users", "list")
    assert (refused.code, refused.out) == (78, "")
    assert "taskcli db upgrade" in refused.err


def test_every_setting_is_shown_but_no_secret(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example,https://b.example")
    for options in ([], ["--json"]):
        shown = operator("config", "show", *options)
        assert (shown.code, shown.err) == (0, "")
        assert "sesame" not in shown.out
        assert KEY not in shown.out
    settings = json.loads(shown.out)
    assert settings["SECRET_KEY"] == "(set, not shown)"
    assert settings["SERVER_PORT"] == 8000
    assert settings["CORS_ORIGINS"] == ["https://a.example", "https://b.example"]


def test_settings_come_from_the_folder_too(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SERVER_PORT=9000\n")
    assert json.loads(operator("config", "show", "--json").out)["SERVER_PORT"] == 9000


@pytest.mark.parametrize("command", [("config", "show"), ("users", "list"), ("db", "check")])
def test_bad_settings_are_named_all_at_once_and_never_shown(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://sesame")
    monkeypatch.setenv("SERVER_PORT", "sesame")
    refused = operator(*command)
    assert (refused.code, refused.out) == (78, "")
    assert "DATABASE_URL" in refused.err
    assert "SERVER_PORT" in refused.err
    assert "sesame" not in refused.err


def test_an_address_that_cannot_be_read_is_no_old_schema(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:sesame@/tasks?nonsense=1")
    monkeypatch.setenv("SECRET_KEY", KEY)
    refused = operator("db", "check")
    assert refused.code == 78
    assert "DATABASE_URL" in refused.err
    assert "sesame" not in refused.err
    assert operator("doctor").code == 78


def checks(operator: Operator) -> tuple[int, dict[str, dict[str, object]]]:
    answer = operator("doctor", "--json")
    report = json.loads(answer.out)
    assert report["ok"] == (answer.code == 0)
    assert all(list(check) == ["name", "ok", "detail", "advice"] for check in report["checks"])
    return answer.code, {check["name"]: check for check in report["checks"]}


@pytest.mark.usefixtures("database")
def test_the_doctor_is_content(operator: Operator) -> None:
    code, found = checks(operator)
    assert code == 0
    assert list(found) == ["settings", "disk", "key", "database", "schema", "clock", "passwords"]
    assert all(line.startswith("ok ") for line in operator("doctor").out.splitlines())


@pytest.mark.usefixtures("database")
def test_the_doctor_sees_clocks_that_differ(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "SystemClock", LateClock)
    code, found = checks(operator)
    assert code == 1
    assert found["clock"]["ok"] is False
    assert "+60." in str(found["clock"]["detail"])


class LateClock:
    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(minutes=1)


def test_the_doctor_names_a_bad_setting(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERS", "sesame")
    code, found = checks(operator)
    assert code == 78
    assert found["settings"]["ok"] is False
    assert "WORKERS" in str(found["settings"]["detail"])
    assert "PROBLEM" in operator("doctor").out


@pytest.mark.usefixtures("bare_database")
def test_the_doctor_sees_an_old_schema(operator: Operator) -> None:
    code, found = checks(operator)
    assert code == 1
    assert found["database"]["ok"] is True
    assert found["schema"]["ok"] is False
    assert found["schema"]["advice"] == "run `taskcli db upgrade`"


def test_the_doctor_sees_a_database_that_is_away(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    monkeypatch.setenv("SECRET_KEY", KEY)
    code, found = checks(operator)
    assert code == 1
    assert found["database"]["ok"] is False
    assert "schema" not in found


class TestWithTheEmbeddedDatabase:
    """Looking at DATA_DIR only; `test_processes` starts what is in it."""

    @pytest.fixture(autouse=True)
    def well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "is_migrated", lambda _: True)
        in_time = doctor.Finding("clock", ok=True, detail="")
        monkeypatch.setattr(doctor, "_clock", lambda _: in_time)
        monkeypatch.setattr(doctor, "_passwords", lambda _: in_time)

    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        file = tmp_path / "data" / "secret.key"
        file.parent.mkdir()
        file.write_text("0" * 64)
        file.chmod(0o600)
        return file

    def test_the_doctor_makes_no_key(self, operator: Operator, tmp_path: Path) -> None:
        code, found = checks(operator)
        assert code == 0
        assert "will be made" in str(found["key"]["detail"])
        assert not (tmp_path / "data").exists()

    @pytest.mark.usefixtures("key")
    def test_a_private_key_is_well(self, operator: Operator) -> None:
        code, found = checks(operator)
        assert (code, found["key"]["ok"]) == (0, True)

    def test_a_key_that_others_can_read_is_not(self, operator: Operator, key: Path) -> None:
        key.chmod(0o640)
        code, found = checks(operator)
        assert (code, found["key"]["ok"]) == (78, False)
        assert found["key"]["advice"] == f"run `chmod 600 {key}`"

    def test_a_full_disk_is_not_well(
        self, operator: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doctor, "_FREE_BYTES", 2**60)
        code, found = checks(operator)
        assert (code, found["disk"]["ok"]) == (1, False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_learn_every_command(operator: Operator, shell: str) -> None:
    script = operator("completion", shell)
    assert (script.code, script.err) == (0, "")
    for word in ("taskcli", "set-role", "password-stdin", "doctor"):
        assert word in script.out
