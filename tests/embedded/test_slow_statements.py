"""The log of the embedded database names slow statements, without what people typed."""

from pathlib import Path

import psycopg

from taskcore.adapters.embedded import EmbeddedPostgres
from tests.embedded.conftest import log


def test_a_slow_statement_is_logged_without_its_values(data_dir: Path) -> None:
    typed = "what a person typed"
    with EmbeddedPostgres(data_dir) as server, psycopg.connect(server.conninfo) as connection:
        connection.execute("SELECT pg_sleep(%s), %s::text", (0.6, typed))
        connection.execute("SELECT %s::text", (typed,))
    lines = [line for line in log(data_dir).splitlines() if "duration: " in line]
    assert len(lines) == 1
    assert "SELECT pg_sleep($1), $2::text" in lines[0]
    assert typed not in log(data_dir)
