"""`taskcli sessions` and `taskcli audit`."""

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
from taskcore.testing.contracts.stored import add_user, new_token, opened
from tests.cli.conftest import Taskcli

WEEK = timedelta(days=7)


@pytest.fixture
def sessions(database: str) -> dict[str, list[str]]:
    """The ids of two sessions of Ada and one of Bob."""

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


def remaining(taskcli: Taskcli) -> set[str]:
    answer = taskcli("sessions", "list", "--json")
    assert answer.code == 0
    return {item["id"] for item in json.loads(answer.out)["items"]}


def test_a_list_shows_where_people_are_logged_in(
    taskcli: Taskcli, sessions: dict[str, list[str]]
) -> None:
    answer = taskcli("sessions", "list", "--user", "ada@example.org", "--json")
    page = json.loads(answer.out)
    assert (page["total"], page["skip"], page["limit"]) == (2, 0, 100)
    assert [item["id"] for item in page["items"]] == sessions["ada"][::-1]
    fields = {"id", "user_id", "created_at", "last_used_at", "expires_at", "ip", "user_agent"}
    assert set(page["items"][0]) == fields
    shown = taskcli("sessions", "list", "--skip", "1", "--limit", "1")
    assert shown.out.count("192.0.2.") == 1
    assert "2 to 2 of 3; --cursor " in shown.err


def test_revoking_ends_one_session_or_those_of_a_user_or_all(
    taskcli: Taskcli, sessions: dict[str, list[str]]
) -> None:
    first, second = sessions["ada"]
    ended = taskcli("sessions", "revoke", first, "--yes")
    assert (ended.code, ended.out) == (0, "")
    assert "sessions ended: 1" in ended.err
    assert remaining(taskcli) == {second, *sessions["bob"]}
    assert taskcli("sessions", "revoke", "--user", "bob@example.org", "--yes").code == 0
    assert remaining(taskcli) == {second}
    assert "sessions ended: 1" in taskcli("sessions", "revoke", "--all", "--yes").err
    assert remaining(taskcli) == set()
    again = taskcli("sessions", "revoke", first, "--yes")
    assert (again.code, again.err) == (65, f"taskcli: there is no session {first}\n")
    assert "sessions ended: 0" in taskcli("sessions", "revoke", "--all", "--yes").err


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
def test_an_ambiguous_or_unconfirmed_revocation_ends_no_session(
    taskcli: Taskcli, sessions: dict[str, list[str]], arguments: tuple[str, ...]
) -> None:
    refused = taskcli("sessions", "revoke", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err
    assert remaining(taskcli) == {*sessions["ada"], *sessions["bob"]}


@pytest.mark.usefixtures("database")
def test_an_unknown_user_is_bad_data(taskcli: Taskcli) -> None:
    for arguments in (
        ("sessions", "list", "--user", "eve@example.org"),
        ("sessions", "revoke", "--user", "eve@example.org", "--yes"),
        ("audit", "--user", "eve@example.org"),
    ):
        refused = taskcli(*arguments)
        assert refused.code == 65
        # Events of deleted users are kept, and their sessions are not.
        assert ("a deleted user is named by id" in refused.err) == (arguments[0] == "audit")


@pytest.mark.usefixtures("database")
def test_the_audit_is_filtered_by_user_event_and_time(
    taskcli: Taskcli, make_user: Callable[..., str]
) -> None:
    ada = make_user("ada@example.org", "admin")
    make_user("root@example.org", "admin")
    for role in ("user", "admin"):
        assert taskcli("users", "set-role", ada, role).code == 0
    assert taskcli("users", "deactivate", ada).code == 0

    def events(*arguments: str) -> list[str]:
        answer = taskcli("audit", *arguments, "--json")
        assert answer.code == 0, answer.err
        return [item["event"] for item in json.loads(answer.out)["items"]]

    all_events = ["user.deactivated", "role.changed", "role.changed"]
    assert events() == events("--user", ada) == events("--user", "ada@example.org") == all_events
    assert events("--event", "role.changed") == all_events[1:]
    assert events("--skip", "1", "--limit", "1") == all_events[1:2]
    page = json.loads(taskcli("audit", "--limit", "1", "--json").out)
    assert (page["total"], page["skip"], page["limit"]) == (3, 0, 1)
    assert events("--cursor", page["next_cursor"]) == all_events[1:]
    for since in ("2026-01-31", "2026-01-31T09:30", "2026-01-31T09:30:00+01:00", "today"):
        assert events("--since", since) == all_events
    assert events("--since", "2999-01-31") == []
    assert events("--user", "9999") == []
    shown = taskcli("audit", "--limit", "2").out
    assert "new=admin, old=user" in shown
    (item, *_) = json.loads(taskcli("audit", "--json").out)["items"]
    assert (item["actor"], item["actor_id"], item["user_id"]) == ("system", None, int(ada))
    assert item["user_agent"].startswith("cli:")


LISTS = (("tasks", "list"), ("users", "list"), ("sessions", "list"), ("audit",))


@pytest.mark.usefixtures("sessions")
def test_a_list_is_read_on_by_cursor(taskcli: Taskcli) -> None:
    """Every list has one of its own, and takes no other's."""
    for title in ("Write", "Read"):
        taskcli("tasks", "create", "--as", "ada@example.org", "--title", title)
    taskcli("users", "deactivate", "bob@example.org")
    taskcli("users", "activate", "bob@example.org")
    cursors = {}
    for command in LISTS:
        whole = json.loads(taskcli(*command, "--json").out)
        assert whole["next_cursor"] is None
        page = json.loads(taskcli(*command, "--limit", "1", "--json").out)
        assert (page["items"], page["total"]) == (whole["items"][:1], whole["total"])
        cursors[command] = page["next_cursor"]
        then = json.loads(taskcli(*command, "--cursor", page["next_cursor"], "--json").out)
        assert then["items"] == whole["items"][1:] != []
        assert then["next_cursor"] is None
        assert "cursor: is no cursor of ours" in taskcli(*command, "--cursor", "x").err
        beyond = taskcli(*command, "--skip", "10001")
        assert (beyond.code, beyond.out) == (65, "")
        assert "read on with a cursor" in beyond.err
    for command in LISTS:
        for other in cursors.keys() - {command}:
            refused = taskcli(*command, "--cursor", cursors[other])
            assert (refused.code, refused.out) == (65, "")
            assert "is the cursor of another list" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--event", "login"), '--event: "login" is none of user.registered,'),
        (("--since", "31.01.2026"), '--since: "31.01.2026" is not understood; type a day'),
    ],
)
@pytest.mark.usefixtures("database")
def test_a_wrong_filter_is_explained(
    taskcli: Taskcli, arguments: tuple[str, ...], message: str
) -> None:
    refused = taskcli("audit", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
