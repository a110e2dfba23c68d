"""Commands where a pooler answers and DATABASE_POOLER is off."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskcore import Misconfigured, Settings
from taskcore.wiring import start_database
from tests.cli.conftest import KEY, Taskcli

# As PgBouncer words it, in a message of PostgreSQL's protocol.
_FIELDS = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
_REFUSAL = b"E" + (4 + len(_FIELDS)).to_bytes(4) + _FIELDS


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[str]:
    """A URL at which each connection is refused as PgBouncer refuses one with `options`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / ".s.PGSQL.5432"))
        listener.listen()

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(_REFUSAL)

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield f"postgresql://me@/tasks?host={tmp_path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "command", ["db upgrade", "db check", "db current", "users list", "backup b.zip"]
)
def test_the_setting_for_a_pooler_is_named_with_the_code_of_a_wrong_setting(
    taskcli: Taskcli, refusing: str, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """With the code of a database that is away, the unit would start again for ever."""
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", refusing)
    refused = taskcli(*command.split())
    assert (refused.code, refused.out) == (78, "")
    assert "DATABASE_POOLER=on" in refused.err


def test_no_server_starts(taskcli: Taskcli, refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = taskcli  # sets the environment first
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", refusing)
    with pytest.raises(Misconfigured, match="DATABASE_POOLER=on"):
        asyncio.run(start_database(Settings.load()))


def test_the_doctor_names_it_once(
    taskcli: Taskcli, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", refusing)
    done = taskcli("doctor", "--json")
    assert done.code == 78
    (wrong,) = [check for check in json.loads(done.out)["checks"] if not check["ok"]]
    assert "DATABASE_POOLER=on" in wrong["detail"]
