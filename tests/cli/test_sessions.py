"""`taskcli sessions` and `taskcli audit`: what operators see, and whom they log out."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from taskcore import SessionId
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.domain.origins import Origin
from taskcore.domain.sessions import Session
from tests.cli.conftest import Operator
from tests.contracts.stored import add_user, new_token, opened

WEEK = timedelta(days=7)


@pytest.fixture
def sessions(database: str) -> dict[str, list[str]]:
    """Two of Ada's and one of Bob's: their ids."""

    async def make() -> dict[str, list[str]]:
        async with Connections(database) as connections:
            store = PostgresStore(connections)
            made: dict[str, list[str]] = {}
            for name, count in (("ada", 2), ("bob", 1)):
                user = await add_user(store, name)
                for number in range(count):
                    now = datetime.now(UTC) + timedelta(seconds=number)
                    origin = Origin(f"192.0.2.{number}", "a browser")
                    session = Session.new(SessionId(uuid4()), user.id, now, WEEK, origin)
                    async with store.autocommit() as db:
                        await opened(db, user, session, new_token(session, "x", now))
                    made.setdefault(name, []).append(str(session.id))
            return made

    return asyncio.run(make())


def left(operator: Operator) -> set[str]:
    answer = operator("sessions", "list", "--json")
    assert answer.code == 0
    return {item["id"] for item in json.loads(answer.out)["items"]}


def test_a_list_shows_where_people_are_logged_in(
    operator: Operator, sessions: dict[str, list[str]]
) -> None:
    answer = operator("sessions", "list", "--user", "ada@example.org", "--json")
    page = json.loads(answer.out)
    assert (page["total"], page["skip"], page["limit"]) == (2, 0, 100)
    assert [item["id"] for item in page["items"]] == sessions["ada"][::-1]
    fields = {"id", "user_id", "created_at", "last_used_at", "expires_at", "ip", "user_agent"}
    assert set(page["items"][0]) == fields
    shown = operator("sessions", "list", "--skip", "1", "--limit", "1")
    assert shown.out.count("192.0.2.") == 1
    assert "2 to 2 of 3; --skip 2 shows the next" in shown.err


def test_one_session_or_a_users_or_everybodys_end(
    operator: Operator, sessions: dict[str, list[str]]
) -> None:
    one, other = sessions["ada"]
    ended = operator("sessions", "revoke", one, "--yes")
    assert (ended.code, ended.out) == (0, "")
    assert "sessions ended: 1" in ended.err
    assert left(operator) == {other, *sessions["bob"]}
    assert operator("sessions", "revoke", "--user", "bob@example.org", "--yes").code == 0
    assert left(operator) == {other}
    assert "sessions ended: 1" in operator("sessions", "revoke", "--all", "--yes").err
    assert left(operator) == set()
    again = operator("sessions", "revoke", one, "--yes")
    assert (again.code, again.err) == (65, f"taskcli: there is no session {one}\n")
    assert "sessions ended: 0" in operator("sessions", "revoke", "--all", "--yes").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--yes",),
        ("--all", "--user", "ada@example.org", "--yes"),
        ("01234567-89ab-cdef-0123-456789abcdef", "--all", "--yes"),
        ("7", "--yes"),
        ("--all",),
        ("--user", "ada@example.org"),
    ],
)
def test_what_is_not_clear_ends_nothing(
    operator: Operator, sessions: dict[str, list[str]], arguments: tuple[str, ...]
) -> None:
    refused = operator("sessions", "revoke", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err
    assert len(left(operator)) == len([*sessions["ada"], *sessions["bob"]])


def test_a_user_that_is_not_there_is_told(operator: Operator, database: str) -> None:
    del database
    for arguments in (
        ("sessions", "list", "--user", "eve@example.org"),
        ("sessions", "revoke", "--user", "eve@example.org", "--yes"),
        ("audit", "--user", "eve@example.org"),
    ):
        assert operator(*arguments).code == 65


@pytest.mark.usefixtures("database")
def test_the_audit_is_chosen_by_user_event_and_moment(
    operator: Operator, make_user: Callable[..., str]
) -> None:
    ada = make_user("ada@example.org", "admin")
    make_user("root@example.org", "admin")
    for role in ("user", "admin"):
        assert operator("users", "set-role", ada, role).code == 0
    assert operator("users", "deactivate", ada).code == 0

    def events(*arguments: str) -> list[str]:
        answer = operator("audit", *arguments, "--json")
        assert answer.code == 0, answer.err
        return [item["event"] for item in json.loads(answer.out)["items"]]

    everything = ["user.deactivated", "role.changed", "role.changed"]
    assert events() == events("--user", ada) == events("--user", "ada@example.org") == everything
    assert events("--event", "role.changed") == everything[1:]
    assert events("--skip", "1", "--limit", "1") == everything[1:2]
    for since in ("2026-01-31", "2026-01-31T09:30", "2026-01-31T09:30:00+01:00"):
        assert events("--since", since) == everything
    assert events("--since", "2999-01-31") == []
    assert events("--user", "9999") == []
    shown = operator("audit", "--limit", "2").out
    assert "new=admin, old=user" in shown
    (item, *_) = json.loads(operator("audit", "--json").out)["items"]
    assert (item["actor"], item["actor_id"], item["user_id"]) == ("system", None, int(ada))
    assert item["user_agent"].startswith("cli:")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--event", "login"), "there is no event login; there are user.registered,"),
        (("--since", "yesterday"), "yesterday is not a time such as"),
        (("--since", "31.01.2026"), "is not a time"),
    ],
)
@pytest.mark.usefixtures("database")
def test_a_slip_in_what_is_chosen_is_told(
    operator: Operator, arguments: tuple[str, ...], told: str
) -> None:
    refused = operator("audit", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert told in refused.err
