"""`taskcli db`, `config` and `doctor`."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from taskcli import doctor
from taskcli.doctor_findings import Finding
from taskcore import wiring
from tests.api.served import as_url
from tests.cli.conftest import KEY, Taskcli
from tests.conftest import migrated_database, new_database

NOWHERE = "postgresql://ada:sesame@/tasks?host=/nonexistent"


@pytest.mark.usefixtures("bare_database")
def test_an_upgrade_migrates_an_empty_database(taskcli: Taskcli) -> None:
    before = taskcli("db", "check")
    assert (before.code, before.out) == (1, "")
    assert "taskcli db upgrade" in before.err
    assert json.loads(taskcli("db", "current", "--json").out) == {"revision": None}
    assert taskcli("db", "current").out == ""
    assert taskcli("doctor").code == 1

    upgraded = taskcli("db", "upgrade")
    assert upgraded.code == 0
    after = taskcli("db", "check")
    assert (after.code, after.out, after.err) == (0, "", "")
    revision = taskcli("db", "current").out.strip()
    assert json.loads(taskcli("db", "current", "--json").out) == {"revision": revision}
    assert upgraded.err == f"taskcli: upgraded the database from revision none to {revision}\n"
    again = taskcli("db", "upgrade")
    assert (again.code, again.err) == (
        0,
        f"taskcli: nothing to do: the database has revision {revision}\n",
    )


@pytest.mark.usefixtures("bare_database")
def test_migrating_needs_no_secret_key(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    assert taskcli("db", "upgrade").code == 0
    assert taskcli("db", "check").code == 0
    assert taskcli("db", "current").out
    refused = taskcli("users", "list")
    assert refused.code == 78
    assert "SECRET_KEY" in refused.err


@pytest.mark.usefixtures("bare_database")
def test_an_upgrade_may_stop_at_a_revision(taskcli: Taskcli) -> None:
    assert taskcli("db", "upgrade", "--revision", "0001").code == 0
    assert taskcli("db", "current").out == "0001\n"
    assert taskcli("db", "check").code == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_named(
    taskcli: Taskcli, database_url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    kind = f"template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    monkeypatch.setenv("SECRET_KEY", KEY)
    with new_database(database_url, template=kind) as url:
        monkeypatch.setenv("DATABASE_URL", as_url(url))
        for command in (("db", "upgrade"), ("db", "check"), ("users", "list"), ("doctor",)):
            refused = taskcli(*command)
            assert (refused.code, "Traceback" in refused.err) == (78, False)
            assert "must have the encoding UTF8" in refused.err + refused.out


def test_a_database_of_a_newer_release_is_told_as_such(
    taskcli: Taskcli, bare_database: str
) -> None:
    taskcli("db", "upgrade")
    with psycopg.connect(bare_database, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9998'")
        refused = taskcli("db", "upgrade")
        assert (refused.code, "revision 9998" in refused.err) == (78, True)
        assert "a newer release" in refused.err
        assert taskcli("users", "list").code == taskcli("doctor").code == 0
        connection.execute("COMMENT ON TABLE alembic_version IS 'oldest code: 9998'")
        for command in (("db", "check"), ("users", "list"), ("doctor",)):
            refused = taskcli(*command)
            assert refused.code == 78
            assert "of a newer release" in refused.err + refused.out


@pytest.mark.parametrize(
    "command",
    [
        *(("users", "list"), ("users", "show", "1"), ("tasks", "list"), ("audit",)),
        *(("tasks", "create", "--title", "x", "--as", "1"), ("housekeeping",)),
        *(("db", "current"), ("db", "check"), ("users", "delete", "1", "--yes")),
    ],
)
@pytest.mark.parametrize("left", ["", "postgres"])  # by a first start that was killed
def test_only_what_others_need_first_makes_a_database(
    taskcli: Taskcli, tmp_path: Path, command: tuple[str, ...], left: str
) -> None:
    if left:
        (tmp_path / "data" / left).mkdir(parents=True)
    refused = taskcli(*command)
    assert (refused.code, refused.out) == (78, "")
    assert f"there is no database in {tmp_path / 'data'}" in refused.err
    assert left or not (tmp_path / "data").exists()


@pytest.mark.usefixtures("bare_database")
def test_commands_refuse_a_database_that_is_not_migrated(taskcli: Taskcli) -> None:
    refused = taskcli("users", "list")
    assert (refused.code, refused.out) == (78, "")
    assert "taskcli db upgrade" in refused.err


def test_every_setting_is_shown_except_secrets(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example,https://b.example")
    for options in ([], ["--json"]):
        shown = taskcli("config", "show", *options)
        assert (shown.code, shown.err) == (0, "")
        assert "sesame" not in shown.out
        assert KEY not in shown.out
        assert ("RATE_LIMITS\ton\n" in shown.out) is (not options)  # as it is written
    settings = json.loads(shown.out)
    assert settings["RATE_LIMITS"] is True
    assert settings["SECRET_KEY"] == "(set, not shown)"
    assert settings["SERVER_PORT"] == 8000
    assert settings["CORS_ORIGINS"] == ["https://a.example", "https://b.example"]


def test_settings_are_read_from_the_env_file_too(taskcli: Taskcli, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SERVER_PORT=9000\n")
    assert json.loads(taskcli("config", "show", "--json").out)["SERVER_PORT"] == 9000


@pytest.mark.parametrize("command", [("config", "show"), ("users", "list"), ("db", "check")])
def test_bad_settings_are_named_all_at_once_and_never_shown(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://sesame")
    monkeypatch.setenv("SERVER_PORT", "sesame")
    refused = taskcli(*command)
    assert (refused.code, refused.out) == (78, "")
    assert "DATABASE_URL" in refused.err
    assert "SERVER_PORT" in refused.err
    assert "sesame" not in refused.err


def test_a_malformed_database_url_is_not_taken_for_an_old_schema(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:sesame@/tasks?nonsense=1")
    monkeypatch.setenv("SECRET_KEY", KEY)
    refused = taskcli("db", "check")
    assert refused.code == 78
    assert "DATABASE_URL" in refused.err
    assert "sesame" not in refused.err
    code, found = checks(taskcli)
    assert (code, found["database"]["ok"]) == (78, False)
    assert "DATABASE_URL" in str(found["database"]["detail"])
    assert "rights" not in found  # for the same reason


def checks(taskcli: Taskcli, *options: str) -> tuple[int, dict[str, dict[str, object]]]:
    result = taskcli("doctor", "--json", *options)
    assert result.out, result.err
    report = json.loads(result.out)
    assert report["ok"] == (result.code == 0)
    assert all(
        list(check) == ["name", "ok", "detail", "advice", "warning"] for check in report["checks"]
    )
    return result.code, {check["name"]: check for check in report["checks"]}


@pytest.mark.usefixtures("database")
def test_the_doctor_finds_no_problem(taskcli: Taskcli) -> None:
    code, found = checks(taskcli)
    assert code == 0
    kinds = "settings disk key database schema vacuum words clock"
    kinds += " connections timeouts growth room passwords backup"
    assert " ".join(found) == kinds
    assert not any(check["warning"] for check in found.values())
    assert all(line.startswith("ok\t") for line in taskcli("doctor").out.splitlines())


def test_the_doctor_names_the_folder_and_makes_no_database(
    taskcli: Taskcli, tmp_path: Path
) -> None:
    code, found = checks(taskcli)
    assert code == 0
    assert f"none in {tmp_path / 'data'}" in str(found["database"]["detail"])
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("database")
def test_the_doctor_finds_clocks_that_differ(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "SystemClock", SlowClock)
    code, found = checks(taskcli)
    assert code == 1
    assert found["clock"]["ok"] is False
    assert "+60." in str(found["clock"]["detail"])


class SlowClock:
    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(minutes=1)


def test_what_a_migration_that_was_given_up_leaves_is_found_and_mended(
    taskcli: Taskcli, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks SET (autovacuum_enabled = off)")  # as 0009 does first
        code, found = checks(taskcli)
        assert (code, found["vacuum"]["advice"]) == (1, "run `taskcli db upgrade`")
        for revision, ends in (("head", 0), ("9999", 65)):
            connection.execute("ALTER TABLE tasks SET (autovacuum_enabled = off)")
            assert taskcli("db", "upgrade", "--revision", revision).code == ends
            assert checks(taskcli)[0] == 0


def test_the_doctor_finds_words_that_only_the_owner_can_tidy(
    taskcli: Taskcli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = database
    monkeypatch.setattr("taskcore.adapters.postgres.word_index.SPARED", -1)
    assert checks(taskcli)[0] == 0  # this role owns it
    url = f"{os.environ['DATABASE_URL']}&options=-c%20role%3Dpg_read_all_data"
    monkeypatch.setenv("DATABASE_URL", url.replace("taskcore@", "postgres@"))
    monkeypatch.setattr(doctor, "is_migrated", lambda _: True)
    assert "owner" in str(checks(taskcli)[1]["words"]["advice"])
    assert checks(taskcli)[1]["words"]["ok"] is False


@pytest.mark.usefixtures("database")
def test_the_doctor_warns_of_more_connections_than_the_database_has(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKERS", "4")
    assert checks(taskcli)[1]["connections"]["warning"] is False
    code, found = checks(taskcli, "--servers", "3")
    assert (code, found["connections"]["warning"]) == (0, True)
    assert "3 x 4 x 10 = 120) of " in str(found["connections"]["detail"])
    assert "DATABASE_POOL_SIZE" in str(found["connections"]["advice"])
    monkeypatch.setenv("DATABASE_POOL_SIZE", "5")
    assert checks(taskcli, "--servers", "3")[1]["connections"]["warning"] is False
    shown = taskcli("doctor", "--servers", "20")
    assert (shown.code, "WARNING\tconnections" in shown.out) == (0, True)


def test_the_doctor_counts_the_connections_that_a_role_may_have(
    taskcli: Taskcli, database: str
) -> None:
    with psycopg.connect(database, user="postgres", autocommit=True) as admin:
        admin.execute("ALTER ROLE taskcore CONNECTION LIMIT 12")
        try:
            assert checks(taskcli)[1]["connections"]["warning"] is True  # 10, and those of commands
        finally:
            admin.execute("ALTER ROLE taskcore CONNECTION LIMIT -1")


@pytest.mark.usefixtures("database")
def test_the_doctor_warns_of_time_limits_that_are_missing(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{os.environ['DATABASE_URL']}&options=-c%20lock_timeout%3D0"
    monkeypatch.setenv("DATABASE_URL", url)
    code, found = checks(taskcli)
    assert (code, found["timeouts"]["warning"]) == (0, True)
    assert "no lock_timeout" in str(found["timeouts"]["detail"])


@pytest.mark.usefixtures("database")
def test_the_doctor_warns_of_a_disk_that_is_nearly_full(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskcli.doctor_warnings.is_filling", lambda _: True)
    monkeypatch.setenv("DATABASE_URL", os.environ["DATABASE_URL"].replace("taskcore@", "postgres@"))
    code, found = checks(taskcli)
    assert (code, found["room"]["warning"]) == (0, True)
    assert "MiB are free on its disk" in str(found["room"]["detail"])


def test_the_doctor_warns_of_dead_rows_that_nothing_removes(
    taskcli: Taskcli, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE rate_limits SET (autovacuum_enabled = off)")
        connection.execute(
            "INSERT INTO rate_limits SELECT int4send(n), now() FROM generate_series(1, 10100) n"
        )
        connection.execute("DELETE FROM rate_limits")
        connection.execute("SELECT pg_stat_force_next_flush()")
        try:
            code, found = checks(taskcli)
            assert (code, found["growth"]["warning"]) == (0, True)
            assert "rate_limits has 10" in str(found["growth"]["detail"])
        finally:
            connection.execute("ALTER TABLE rate_limits RESET (autovacuum_enabled)")
            connection.execute("VACUUM rate_limits")


def test_the_doctor_knows_how_old_the_last_backup_is(
    taskcli: Taskcli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks(taskcli)[1]["backup"]["detail"] == "there are no users yet"
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO users (email, email_key, hashed_password) VALUES ('a@b.c', 'a@b.c', 'x')"
        )
    code, found = checks(taskcli)
    assert (code, found["backup"]["warning"]) == (0, True)
    assert "made none" in str(found["backup"]["detail"])
    assert taskcli("backup", "b.zip").code == 0
    assert checks(taskcli)[1]["backup"]["warning"] is False
    monkeypatch.setattr("taskcli.doctor_warnings._BACKUP_AGE", timedelta(0))
    assert checks(taskcli)[1]["backup"]["warning"] is True


def test_the_doctor_knows_the_backup_that_was_restored(
    taskcli: Taskcli, database: str, make_user: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("ada@example.org")
    assert taskcli("backup", "b.zip").code == 0
    with migrated_database(database) as other:
        monkeypatch.setenv("DATABASE_URL", as_url(other))
        assert taskcli("restore", "b.zip").code == 0
        found = checks(taskcli)[1]["backup"]
        assert (found["warning"], found["detail"]) == (
            False,
            "`taskcli backup` made the last one 0 hours ago",
        )


@pytest.mark.parametrize("is_migrated", [True, False])
def test_the_doctor_names_the_grants_that_the_role_lacks(
    taskcli: Taskcli, database: str, monkeypatch: pytest.MonkeyPatch, *, is_migrated: bool
) -> None:
    """Run as it says them, they suffice: for a server, or for the first migration."""
    made = migrated_database(database) if is_migrated else new_database(database)
    with made as other, psycopg.connect(other, autocommit=True) as admin:
        admin.execute('CREATE ROLE "an-app"')
        try:
            admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            monkeypatch.setenv("DATABASE_URL", f"{as_url(other)}&options=-c%20role%3Dan-app")
            code, found = checks(taskcli)
            assert (code, found["rights"]["ok"]) == (78, False)
            grants = str(found["rights"]["advice"]).partition(": ")[2]
            assert 'GRANT USAGE ON SCHEMA public TO "an-app"' in grants
            if is_migrated:
                assert 'GRANT SELECT, INSERT ON public.audit_events TO "an-app"' in grants
            admin.execute(grants.encode())
            if not is_migrated:
                assert taskcli("db", "upgrade").code == 0
            assert "rights" not in checks(taskcli)[1]
            assert taskcli("users", "list").code == 0
        finally:
            admin.execute('DROP OWNED BY "an-app"')
            admin.execute('DROP ROLE "an-app"')


def test_the_doctor_counts_the_connections_to_the_replica(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """They come on top where DATABASE_READ_URL leads to the same server."""
    with psycopg.connect(database) as connection:
        ((most,),) = connection.execute("SHOW max_connections").fetchall()
    monkeypatch.setenv("DATABASE_READ_URL", os.environ["DATABASE_URL"])
    monkeypatch.setenv("DATABASE_POOL_SIZE", "5")
    half = int(most) // 10  # servers with two pools of five
    # Other roles, such as those of tests at the same moment, may hold some connections.
    for servers, warned in ((half // 2, (False, False)), (half + 2, (False, True))):
        found = checks(taskcli, "--servers", str(servers))[1]
        said = found["connections"]["warning"], found["replica connections"]["warning"]
        assert said == warned, found
    assert "twice" in str(found["replica connections"]["detail"])


@pytest.mark.usefixtures("database")
def test_the_doctor_warns_of_a_replica_that_is_away_or_none(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "replica" not in checks(taskcli)[1]
    monkeypatch.setenv("DATABASE_READ_URL", NOWHERE)
    code, found = checks(taskcli)
    assert (code, found["replica"]["warning"]) == (0, True)
    assert "cannot be reached" in str(found["replica"]["detail"])
    monkeypatch.setenv("DATABASE_READ_URL", os.environ["DATABASE_URL"])
    code, found = checks(taskcli)
    assert (code, found["replica"]["warning"]) == (0, True)
    assert "takes writes" in str(found["replica"]["detail"])


def test_the_doctor_finds_a_replica_of_another_database(
    taskcli: Taskcli, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_database(database) as other:
        monkeypatch.setenv("DATABASE_READ_URL", as_url(other))
        code, found = checks(taskcli)
        assert (code, found["replica"]["ok"]) == (78, False)
        assert "another database" in str(found["replica"]["detail"])


def test_the_doctor_names_a_bad_setting(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKERS", "sesame")
    code, found = checks(taskcli)
    assert code == 78
    assert found["settings"]["ok"] is False
    assert "WORKERS" in str(found["settings"]["detail"])
    assert "PROBLEM" in taskcli("doctor").out


@pytest.mark.usefixtures("bare_database")
def test_the_doctor_finds_an_old_schema(taskcli: Taskcli) -> None:
    code, found = checks(taskcli)
    assert code == 1
    assert found["database"]["ok"] is True
    assert found["schema"]["ok"] is False
    assert found["schema"]["advice"] == "run `taskcli db upgrade`"


def test_the_doctor_finds_a_database_that_cannot_be_reached(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    monkeypatch.setenv("SECRET_KEY", KEY)
    code, found = checks(taskcli)
    assert code == 1
    assert found["database"]["ok"] is False
    assert "schema" not in found


class TestWithTheEmbeddedDatabase:
    """Only looks at DATA_DIR; `test_processes` starts the database."""

    @pytest.fixture(autouse=True)
    def other_checks_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "is_migrated", lambda _: True)
        passed = Finding("clock", ok=True, detail="")
        monkeypatch.setattr(doctor, "_clock", lambda _: [passed])
        monkeypatch.setattr(doctor, "_upkeep", lambda _: [passed])
        monkeypatch.setattr(doctor, "_passwords", lambda _: [passed])
        monkeypatch.setattr(doctor, "warnings", lambda *_: [passed])
        monkeypatch.setattr(doctor, "backup", lambda _: [passed])

    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        file = tmp_path / "data" / "secret.key"
        file.parent.mkdir()
        file.write_text("0" * 64)
        file.chmod(0o600)
        return file

    def test_the_doctor_makes_no_key(self, taskcli: Taskcli, tmp_path: Path) -> None:
        code, found = checks(taskcli)
        assert code == 0
        assert "a first start would make" in str(found["key"]["detail"])
        assert not (tmp_path / "data").exists()

    @pytest.mark.usefixtures("key")
    def test_a_private_key_passes(self, taskcli: Taskcli) -> None:
        code, found = checks(taskcli)
        assert (code, found["key"]["ok"]) == (0, True)

    def test_a_key_that_others_can_read_fails(self, taskcli: Taskcli, key: Path) -> None:
        key.chmod(0o640)
        code, found = checks(taskcli)
        assert (code, found["key"]["ok"]) == (78, False)
        assert found["key"]["advice"] == f"run `chmod 600 {key}`"

    def test_a_key_behind_a_link_fails(self, taskcli: Taskcli, key: Path) -> None:
        key.symlink_to(key.rename(key.with_name("moved")))
        code, found = checks(taskcli)
        assert (code, found["key"]["ok"]) == (78, False)
        assert "is a link" in str(found["key"]["detail"])

    def test_a_full_disk_fails(self, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("taskcli.doctor_folder._FREE_BYTES", 2**60)
        code, found = checks(taskcli)
        assert (code, found["disk"]["ok"]) == (1, False)
