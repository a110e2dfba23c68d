"""The check for leaked secrets works: row LG-1 of docs/security.md."""

import base64
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import psycopg
import pytest
import structlog

from taskcore import SessionId, UserId
from taskcore.adapters.jwt import JwtTokens
from taskcore.adapters.tokens import OpaqueRefreshTokens
from taskcore.ports import AccessClaims
from tests.api.served import as_url
from tests.canaries import KEYS, LISTENER, PASSWORDS, leaks
from tests.cli.in_process import run
from tests.conftest import KEY, ManualClock, cheap_argon2, emptied, migrated_database
from tests.factories import PASSWORD
from tests.server.running import KEY as SERVER_KEY
from tests.server.running import Api


def test_a_secret_is_found_however_it_is_spelled() -> None:
    """LG-1: plain, in hexadecimal, in a URL, in base64, and inside of a longer text."""
    for secret in (*PASSWORDS, *KEYS):
        raw = secret.encode()
        longer = [before + raw + b" battery" for before in (b"", b"a", b"ab", b"abc")]
        spelled = [secret, raw.hex(), quote(secret), quote_plus(secret)]
        spelled += [base64.b64encode(text).decode() for text in longer]
        for text in spelled:
            assert leaks(f'{{"event": "x", "value": "{text}"}}'), text
    assert leaks("nothing of the kind, horse or key") == []


@pytest.mark.anyio
async def test_tokens_and_hashes_are_found_by_their_shape(clock: ManualClock) -> None:
    """LG-1: tokens and hashes of every kind."""
    refresh = OpaqueRefreshTokens((KEY,))
    claims = AccessClaims(UserId(1), SessionId(uuid4()))
    access = JwtTokens(KEY).issue(claims, clock.now())
    for token in (refresh.new(), *refresh.successors("x", b"n"), access):
        assert leaks(f"x {token} x")
        assert leaks(f"x {token} x", of_database=True)
    async with cheap_argon2() as hasher:
        password_hash = await hasher.hash(PASSWORD)
    assert leaks(f"x {password_hash} x")
    assert leaks(f"x {password_hash} x", of_database=True) == []


def test_the_log_of_this_process_is_searched() -> None:
    """LG-1: by the standard library at DEBUG, and by structlog with the text of an exception."""
    logging.getLogger("some.library").debug("trying %s", PASSWORD)
    structlog.configure(processors=[LISTENER.structured, _dropped])
    structlog.get_logger().info("failed", exc_info=ValueError(PASSWORD))
    structlog.reset_defaults()
    heard = LISTENER.taken()
    assert [bool(leaks(line)) for line in heard] == [True, True]


def _dropped(*_: object) -> Any:
    raise structlog.DropEvent


def test_a_secret_in_the_database_is_found(database_url: str) -> None:
    """LG-1: for example a password typed as a name."""
    emptied(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users (email, email_key, hashed_password, full_name)"
            " VALUES ('a@b.org', 'a@b.org', 'none', %s)",
            [PASSWORD],
        )
        with pytest.raises(AssertionError):
            emptied(database_url)
        connection.execute("DELETE FROM users")


def test_a_secret_in_the_log_of_a_server_is_found(tmp_path: Path) -> None:
    """LG-1: when the server ends."""
    api = Api(tmp_path / "server", WORKERS="none")  # it ends at once: 78
    api.exit_code()
    with api.log_file.open("a") as log:
        log.write(f"password={PASSWORD}")
    with pytest.raises(AssertionError), api:
        pass


def test_the_command_line_tells_no_secret_at_debug(database_url: str, tmp_path: Path) -> None:
    """LG-1, SC-2: neither on stdout nor on stderr, nor in an error."""
    said = []
    with migrated_database(database_url) as conninfo:
        env = {"DATABASE_URL": as_url(conninfo), "SECRET_KEY": SERVER_KEY, "LOG_LEVEL": "DEBUG"}
        for arguments, stdin in [
            (("users", "create", "--email", "ada@example.org", "--password-stdin"), PASSWORD),
            (("users", "create", "--email", "ada@example.org", "--password-stdin"), PASSWORD),
            (("users", "create", "--email", "x", "--password-stdin"), PASSWORD),
            (("users", "show", "ada@example.org", "--json"), ""),
            (("sessions", "list"), ""),
            (("audit", "--json"), ""),
            (("config", "show"), ""),
            (("doctor",), ""),
        ]:
            done = run(*arguments, env=env, cwd=tmp_path, stdin=stdin)
            assert done.code in {0, 65}, done.err
            assert "DEBUG:" in done.err or arguments == ("config", "show")
            said.append(done.out + done.err)
    assert leaks("\n".join(said)) == []
    assert "user.created" in said[5]
