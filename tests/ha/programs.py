"""What a cluster is made of.

Debian's etcd, HAProxy, PgBouncer and pgBackRest, Patroni of requirements-ha.txt, and the PostgreSQL
that comes with the tests.
"""

import subprocess
import sys
from pathlib import Path

from taskcore.adapters.embedded.programs import programs
from tests.debian import ACCOUNT, ROOT

PACKAGES = {
    "/usr/bin/etcd": "etcd-server",
    "/usr/sbin/haproxy": "haproxy",
    "/usr/sbin/pgbouncer": "pgbouncer",
    "/usr/bin/pgbackrest": "pgbackrest",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/bin/python3": "python3",
}


def postgres_programs() -> Path:
    """The folder of the programs of the PostgreSQL that comes with the tests."""
    return programs(ACCOUNT)


def patroni(folder: Path) -> list[str]:
    """The command of a Patroni that is installed there, where every account can read it.

    It runs in Debian's Python: that of a virtual environment may lie in a folder of root's.
    """
    python = "/usr/bin/python3"
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "install"]
    pip += ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    pip += ["--root-user-action=ignore", "--target", str(folder)]
    done = subprocess.run(  # noqa: S603 - the command above
        [*pip, "-r", str(ROOT / "requirements-ha.txt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"Patroni cannot be installed: {done.stderr}"
    return ["/usr/bin/env", f"PYTHONPATH={folder}", python, "-m", "patroni"]
