"""What another account plants in its data folder, in the way of root's commands."""

import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from taskcore.adapters.embedded import EmbeddedPostgres, programs
from taskcore.adapters.embedded.cluster_folder import Cluster
from taskcore.adapters.folders import Folder
from taskcore.adapters.keys import generated_secret
from taskcore.domain.errors import Misconfigured
from tests.embedded.conftest import AS_ROOT, fetch_value
from tests.processes import run_tool
from tests.server.running import Api, database_processes, taskcli

pytestmark = pytest.mark.skipif(not AS_ROOT, reason="needs root")

FILES = [
    "secret.key",
    "postgres/users.lock",
    "postgres/server.lock",
    "postgres/server.log",
    "postgres/cluster/PG_VERSION",
    "postgres/cluster/postgresql.conf",
    "postgres/cluster/pg_hba.conf",
    "postgres/cluster/pg_ident.conf",
    "postgres/cluster/postmaster.pid",
]
FOLDERS = ["", "postgres", "postgres/run", "postgres/cluster"]
REMOVED = [  # whatever they are
    "postgres/cluster/postgresql.conf.new",
    "postgres/run/.s.PGSQL.5432",
    "postgres/run/.s.PGSQL.5432.lock",
]


@pytest.fixture(scope="module")
def service() -> os.stat_result:
    """The account that the data folder belongs to, as the owner in a status."""
    nobody = pwd.getpwnam("nobody")
    return os.stat_result((0, 0, 0, 0, nobody.pw_uid, nobody.pw_gid, 0, 0, 0, 0))


@pytest.fixture(scope="module")
def served(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory, service: os.stat_result
) -> Path:
    """Its data folder."""
    folder = tmp_path_factory.mktemp("service") / "data"
    run_tool("/bin/cp", "-a", prepared, folder)
    run_tool("/bin/chown", "-R", f"{service.st_uid}:{service.st_gid}", folder)
    with EmbeddedPostgres(folder):
        generated_secret(folder / "secret.key")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Another user's folder with the same names. Fails if anything in it is changed."""
    owner = programs.system_account()
    folder = tmp_path / "elsewhere"
    for name in (*FILES, *REMOVED):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("of another user, and long enough for a key\n")
        file.chmod(0o600)
    (folder / "postgres/cluster/PG_VERSION").write_text("18\n")
    run_tool("/bin/chown", "-R", f"{owner.uid}:{owner.gid}", folder)
    run_tool("/bin/chmod", "755", folder)
    before = state(folder)
    yield folder
    assert state(folder) == before


def state(folder: Path) -> dict[Path, tuple[int, int, bytes]]:
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[path] = (status.st_mode, status.st_uid, content)
    return found


@contextmanager
def planted(path: Path, plant: Callable[[Path], None], service: os.stat_result) -> Iterator[None]:
    """What `plant` puts in the place of `path`, for as long as the block lasts."""
    aside = path.with_name("aside")
    with suppress(FileNotFoundError):
        path.rename(aside)
    plant(path)
    if path.lstat().st_nlink == 1:
        os.chown(path, service.st_uid, service.st_gid, follow_symlinks=False)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if aside.exists():
            aside.rename(path)


def use(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        generated_secret(data_dir / "secret.key")


@pytest.mark.parametrize("name", FOLDERS + FILES)
def test_root_follows_no_symbolic_link(
    served: Path, elsewhere: Path, service: os.stat_result, name: str
) -> None:
    """FS-1: planted in the data folder or in its place, it is refused by its path, with code 78."""
    path = served / name
    with (
        planted(path, lambda path: path.symlink_to(elsewhere / name), service),
        pytest.raises(Misconfigured) as refusal,
    ):
        use(served)
    assert str(path) in str(refusal.value)


def test_a_command_refuses_with_the_exit_code_for_bad_settings(
    served: Path, elsewhere: Path, service: os.stat_result, tmp_path: Path
) -> None:
    cluster = served / "postgres/cluster"
    target = elsewhere / "postgres/cluster"
    with planted(cluster, lambda path: path.symlink_to(target), service):
        done = taskcli(tmp_path, "users", "list", DATA_DIR=str(served))
    assert done.returncode == 78
    assert f"{cluster} is a symbolic link" in done.stderr


@pytest.mark.parametrize("name", FILES)
def test_root_does_not_give_away_the_file_of_another_user(
    served: Path, elsewhere: Path, service: os.stat_result, name: str
) -> None:
    """FS-1: a hard link to another user's file, root's too, is refused and keeps its owner."""
    with (
        planted(served / name, lambda path: path.hardlink_to(elsewhere / name), service),
        pytest.raises(Misconfigured, match="belongs to"),
    ):
        use(served)
    secrets = elsewhere / name
    mode = secrets.stat()
    os.chown(secrets, 0, 0)
    try:
        if name != "secret.key":  # whose owner root may be
            with (
                planted(served / name, lambda path: path.hardlink_to(secrets), service),
                pytest.raises(Misconfigured, match="belongs to"),
            ):
                use(served)
        assert secrets.stat().st_uid == 0
    finally:
        os.chown(secrets, mode.st_uid, mode.st_gid)


@pytest.mark.parametrize("name", FILES)
def test_root_does_not_wait_at_a_pipe(served: Path, service: os.stat_result, name: str) -> None:
    """FS-1: in the place of a file it is refused at once."""
    with (
        planted(served / name, lambda path: os.mkfifo(path, 0o600), service),
        pytest.raises(Misconfigured, match="neither a file nor a folder"),
    ):
        use(served)


def test_a_server_of_root_says_why_it_stays_root(
    served: Path, tmp_path: Path, service: os.stat_result
) -> None:
    with Api(tmp_path, DATA_DIR=str(served)) as api:
        api.ready()
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in database_processes(served)}
        assert owners - {0} == {service.st_uid}
        assert api.stop() == 0
        assert "runs as root, because nobody, who owns DATA_DIR" in api.log


def test_what_is_planted_for_drafts_and_sockets_is_removed(
    served: Path, elsewhere: Path, service: os.stat_result
) -> None:
    (served / "postgres/cluster/postgresql.conf").write_text("")  # so that there is a draft
    for name in REMOVED:
        (served / name).symlink_to(elsewhere / name)
        os.chown(served / name, service.st_uid, service.st_gid, follow_symlinks=False)
    use(served)
    assert not any((served / name).is_symlink() for name in REMOVED)


def test_a_new_cluster_is_not_made_through_a_link(
    served: Path, elsewhere: Path, service: os.stat_result
) -> None:
    target, cluster = elsewhere / "postgres/cluster", served / "postgres/cluster"
    moved = cluster.rename(served / "moved")
    link = served / "postgres/cluster.new"
    try:
        with (
            planted(link, lambda path: path.symlink_to(target), service),
            pytest.raises(Misconfigured, match=r"cluster\.new is a symbolic link"),
        ):
            use(served)
    finally:
        moved.rename(cluster)


def test_a_folder_that_is_swapped_while_in_use_leads_nowhere(
    served: Path, elsewhere: Path, service: os.stat_result
) -> None:
    """FS-1: between the check of a folder and its use, root holds it open."""
    folder = served / "postgres"
    with (
        Cluster.opened(served) as cluster,
        planted(folder, lambda path: path.symlink_to(elsewhere / "postgres"), service),
    ):
        lock = cluster.claim()
        assert lock is not None
        cluster.start(lock)
        os.close(lock)
        assert "aside" in str(Path(f"/proc/self/fd/{cluster.folder.fd}").readlink())
        while (again := cluster.claim()) is None:  # until the server without a user has stopped
            pass
        os.close(again)


def test_a_socket_that_leads_to_another_users_server_is_refused(
    served: Path, prepared: Path, service: os.stat_result
) -> None:
    """FS-1: libpq asks the kernel which account has answered."""
    theirs, ours = (folder / "postgres/run/.s.PGSQL.5432" for folder in (prepared, served))
    with EmbeddedPostgres(prepared), EmbeddedPostgres(served) as server:
        assert fetch_value(server.conninfo, "SELECT row FROM kept") == "a row"
        with (
            planted(ours, lambda path: path.symlink_to(theirs), service),
            pytest.raises(psycopg.OperationalError, match="requirepeer"),
        ):
            fetch_value(server.conninfo, "SELECT row FROM kept")


@pytest.mark.parametrize("chooser", ["root", "nobody"])
def test_a_link_to_the_data_folder_may_be_roots_or_its_owners(
    served: Path, tmp_path: Path, chooser: str
) -> None:
    link = tmp_path / "link"
    link.symlink_to(os.path.relpath(served.parent, tmp_path))
    os.chown(link, pwd.getpwnam(chooser).pw_uid, 0, follow_symlinks=False)
    with Folder.at(link / served.name) as folder:
        assert os.path.samestat(os.fstat(folder.fd), served.stat())


def test_no_folder_is_made_where_another_user_leads(tmp_path: Path, elsewhere: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    os.chown(link, pwd.getpwnam("nobody").pw_uid, 0, follow_symlinks=False)
    with pytest.raises(Misconfigured, match="symbolic link of another user"):
        Folder.at(link / "new")


def test_a_start_that_was_killed_before_it_gave_a_file_away_is_made_good(
    served: Path, service: os.stat_result
) -> None:
    lock = served / "postgres/users.lock"
    lock.unlink()
    lock.touch(0o600)
    use(served)
    assert lock.stat().st_uid == service.st_uid
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
