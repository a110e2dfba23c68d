"""Connection strings that are complete, so that nothing of the machine adds to them.

libpq fills in what a connection string leaves out: from PG* variables, and from files in the home
folder (a password file, certificates). They belong to another program or person, and could lead
us to another database, or make it answer in another encoding.
"""

import os
import pwd
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from taskcore.adapters.postgres.session_settings import OPTIONS
from taskcore.domain.errors import Misconfigured

CONNECT_TIMEOUT = 2  # seconds; libpq rounds 1 up to 2
_DEFAULTS = {
    "application_name": "taskcore",
    "connect_timeout": str(CONNECT_TIMEOUT),
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "3000",
    # After a failover the old primary may still accept connections, read-only ones.
    "target_session_attrs": "read-write",
}

# libpq takes this for a file that is not there, and so looks for none in the home folder.
_NO_FILE = "/dev/null/none"
# The values for "not set", where an empty text would be an error, mean a file of the home folder,
# or (require_auth) demand that the server asks for no password.
_NOTHING = {
    "passfile": _NO_FILE,
    "sslcert": _NO_FILE,
    "sslrootcert": _NO_FILE,
    "sslcrl": _NO_FILE,
    "sslcertmode": "allow",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "require_auth": "none,password,md5,gss,sspi,scram-sha-256",
}


def conninfo(url: str, *, pooler: bool = False) -> str:
    """The URL or conninfo with our defaults, which it may override. Raises Misconfigured.

    Its `options` come behind ours: of two for the same setting, the server takes the last. The
    encoding is always UTF-8. A parameter that neither sets has libpq's built-in value, or that of
    the service which the URL names. A pooler gets no `options`: it would refuse the connection.
    """
    try:
        given = conninfo_to_dict(url)
        options = given.pop("options", None)
        if pooler and options:
            raise Misconfigured(["DATABASE_URL has options, which a pooler does not pass on"])
        given["options"] = "" if pooler else f"{OPTIONS} {options or ''}".rstrip()
        rest = {} if "service" in given else _built_in(given)
        return make_conninfo("", **rest | _DEFAULTS | given | {"client_encoding": "UTF8"})
    except psycopg.ProgrammingError:  # its message contains the URL with the password
        raise Misconfigured(["DATABASE_URL cannot be read as a PostgreSQL URL"]) from None


def with_options(url: str, options: str) -> str:
    """As `conninfo`, with `options` that override those of the URL. Raises Misconfigured."""
    parts = conninfo_to_dict(conninfo(url))
    return make_conninfo("", **parts | {"options": f"{parts['options']} {options}"})


def of_replica(url: str) -> str:
    """The URL of a server that need not take writes. Raises Misconfigured."""
    try:
        return make_conninfo("", **{"target_session_attrs": "any"} | conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        raise Misconfigured(["DATABASE_READ_URL cannot be read as a PostgreSQL URL"]) from None


def hosts(complete: str) -> dict[str, str]:
    """For each host of a result of `conninfo` its name, and a conninfo of it alone.

    They lead to any server, also to one that takes no writes.
    """
    parts = conninfo_to_dict(complete)
    lists = {
        name: str(parts[name]).split(",")
        for name in ("host", "hostaddr", "port")
        if parts.get(name) not in {None, ""}
    }
    alone = {}
    for number in range(max(map(len, lists.values()), default=0)):
        # Of several hosts each has its own port, or all have the same one.
        own = {name: each[number if len(each) > 1 else 0] for name, each in lists.items()}
        name = ":".join(filter(None, (own.get("host") or own.get("hostaddr"), own.get("port"))))
        alone[name] = make_conninfo("", **parts | own | {"target_session_attrs": "any"})
    return alone


def patience(url: str) -> float:
    """Seconds within which a connection is made if one of the hosts answers."""
    parts = conninfo_to_dict(conninfo(url))
    hosts = str(parts.get("host") or parts.get("hostaddr") or "").count(",") + 1
    return hosts * max(2.0, float(parts["connect_timeout"] or CONNECT_TIMEOUT))


def _built_in(given: Mapping[str, Any]) -> dict[str, str]:
    """A value for each parameter that libpq would look for in the environment."""
    names = {
        option.keyword.decode(): (option.compiled or b"").decode()
        for option in Conninfo.get_defaults()
        if option.envvar
    }
    del names["service"]  # it has no value for none
    built_in = names | {name: value for name, value in _NOTHING.items() if name in names}
    if str(given.get("sslmode", "")).startswith("verify-"):
        built_in["sslrootcert"] = ""  # the URL asks for one: that of the home folder
    if "user" not in given:
        built_in["user"] = _account()
    return built_in


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise Misconfigured(
            [f"DATABASE_URL names no user, and the user id {os.geteuid()} has no name"]
        ) from None
