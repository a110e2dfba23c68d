"""Nothing of the machine adds to a connection string."""

import os
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from taskcore.adapters.postgres.conninfo import conninfo, hosts
from taskcore.domain.errors import Misconfigured
from tests.postgres.servers import Server

# No connection string beats it, so our programs remove it from their environment.
SERVICE = "PGSERVICE"
FOREIGN = {
    "PGHOSTADDR": "192.0.2.1",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c search_path=elsewhere",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGSSLMODE": "verify-full",
    "PGTARGETSESSIONATTRS": "standby",
}


def made(url: str) -> dict[str, str]:
    """The parameters of a connection that is made by the completed URL."""
    with psycopg.connect(conninfo(url)) as connection:
        assert connection.info.encoding == "utf-8"
        return connection.info.get_parameters()


def test_no_variable_of_libpq_changes_a_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made(database_url)
    for option in Conninfo.get_defaults():
        if option.envvar and (name := option.envvar.decode()) != SERVICE:
            monkeypatch.setenv(name, FOREIGN.get(name, "nonsense"))
    with pytest.raises(psycopg.Error):
        psycopg.connect(database_url)
    assert made(database_url) == before


@pytest.mark.parametrize(("name", "value"), FOREIGN.items())
def test_what_a_url_says_counts_whatever_the_environment_says(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    own = "sslmode=require hostaddr=127.0.0.1 passfile=/mine require_auth=none options='-c jit=on'"
    merged = conninfo_to_dict(conninfo(f"host=db user=me {own}"))
    for parameter in ("sslmode", "hostaddr", "passfile", "require_auth"):
        assert f"{parameter}={merged[parameter]}" in own
    assert str(merged["options"]).endswith("-c jit=on")


def test_files_of_the_home_folder_count_only_if_the_url_asks_for_them() -> None:
    merged = conninfo_to_dict(conninfo("postgresql://me@db/tasks"))
    for name in ("passfile", "sslcert", "sslrootcert", "sslcrl"):
        assert not Path(str(merged[name])).exists()
        assert merged[name]  # libpq takes an empty text for the file of the home folder
    merged = conninfo_to_dict(conninfo("postgresql://me@db/tasks?sslmode=verify-full"))
    assert merged["sslrootcert"] == ""
    assert "host" not in conninfo_to_dict(conninfo("service=tasks"))


def test_the_encoding_is_always_that_of_unicode(database_url: str) -> None:
    made(make_conninfo(database_url, client_encoding="LATIN1"))


def test_without_a_user_it_is_the_account_and_never_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGUSER", "mallory")
    assert conninfo_to_dict(conninfo("postgresql:///tasks"))["user"] != "mallory"
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(Misconfigured, match="names no user"):
        conninfo("postgresql:///tasks")
    assert conninfo_to_dict(conninfo("postgresql://me@/tasks"))["user"] == "me"


@pytest.mark.parametrize("method", ["scram-sha-256", "password", "trust"])
def test_the_server_chooses_how_a_user_proves_who_they_are(fragile: Server, method: str) -> None:
    with psycopg.connect(fragile.conninfo, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS locked")
        admin.execute("CREATE ROLE locked LOGIN PASSWORD 'secret'")
        ((file,),) = admin.execute("SHOW hba_file").fetchall()
        # COPY takes no parameters.
        lines = f"VALUES ('local all locked {method}'), ('local all all trust')"
        admin.execute(f"COPY ({lines}) TO '{file}'")
        admin.execute("SELECT pg_reload_conf()")
    with psycopg.connect(
        conninfo(make_conninfo(fragile.conninfo, user="locked", password="secret"))
    ) as it:
        assert it.info.user == "locked"


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("postgresql://me@one:1,two:2/tasks", ["one:1", "two:2"]),
        ("host=one,two port=5000 user=me", ["one:5000", "two:5000"]),
        ("hostaddr=10.0.0.1,10.0.0.2 user=me", ["10.0.0.1:5432", "10.0.0.2:5432"]),
        ("postgresql://me@one/tasks", ["one:5432"]),
    ],
)
def test_each_host_can_be_asked_alone_also_one_that_takes_no_writes(
    url: str, names: list[str]
) -> None:
    found = hosts(conninfo(url))
    assert list(found) == names
    for name, alone in found.items():
        parts = conninfo_to_dict(alone)
        host = parts["host"] or parts["hostaddr"]
        assert (f"{host}:{parts['port']}", parts["target_session_attrs"]) == (name, "any")
