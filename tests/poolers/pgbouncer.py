"""The PgBouncer of docs/deployment.md, for `make test-pooler` and `make test-ha`."""

import re

from tests.debian import Folder, documented

PROGRAM = "/usr/sbin/pgbouncer"
_SECTION = "A pooler before PostgreSQL"


def role_settings() -> bytes:
    """The statements that set for the role what the server does not ask for through a pooler."""
    return documented("sql", _SECTION).encode()


def start(
    folder: Folder, port: int, database: str, *, password: str = "", more: str = "", outages: bool
) -> None:
    """As documented, but for addresses and the login.

    `database`: where it connects to, as in its configuration. `more`: lines of other settings.
    `outages`: with the documented settings for these.
    """
    text = documented("ini", _SECTION)
    if not outages:
        text = text.partition("; After an outage")[0]
    users = folder.write("users", f'"taskcore" "{password}"\n')
    for name, line in {
        "host=": f"{database} dbname=taskcore",
        "listen_addr = ": "listen_addr = 127.0.0.1\nunix_socket_dir =",
        "listen_port = ": f"listen_port = {port}",
        "auth_type = ": f"auth_type = {'plain' if password else 'trust'}",
        "auth_file = ": f"auth_file = {users}",
    }.items():
        text = re.sub(f"{name}.*", line, text)
    folder.start("pgbouncer", PROGRAM, folder.write("pgbouncer.ini", text + more))
