"""`taskcli users`, from creating the first administrator to deleting a user."""

import asyncio
import json
import re
from collections.abc import Callable

import psycopg
import pytest

from taskcore import Core, InvalidCredentials, Origin, Page, TaskcoreError, TooMany
from taskcore.cursors import USERS
from tests.cli.conftest import Taskcli
from tests.conftest import ManualClock
from tests.factories import PASSWORD, a_user

MakeUser = Callable[..., str]
NEW = "another correct horse"


@pytest.mark.usefixtures("database")
def test_the_first_administrator_is_created_without_an_account(taskcli: Taskcli) -> None:
    made = taskcli(
        *("users", "create", "--email", "Ada@Example.org", "--full-name", "Ada Lovelace"),
        *("--role", "admin", "--password-stdin", "--json"),
        stdin=PASSWORD + "\n",
    )
    assert (made.code, made.err) == (0, "")
    user = json.loads(made.out)
    assert list(user) == [
        *("id", "email", "full_name", "role", "is_active", "time_zone", "created_at", "updated_at"),
    ]
    assert (user["email"], user["full_name"], user["role"], user["is_active"]) == (
        *("Ada@example.org", "Ada Lovelace", "admin", True),
    )
    assert user["created_at"].endswith("Z")
    assert "argon2" not in made.out


@pytest.mark.usefixtures("database")
def test_a_profile_is_edited_in_what_is_named(taskcli: Taskcli) -> None:
    who = "ada@example.org"
    made = taskcli(
        *("users", "create", "--email", who, "--full-name", "Ada", "--time-zone", "Asia/Tokyo"),
        *("--password-stdin", "--json"),
        stdin=PASSWORD + "\n",
    )
    assert json.loads(made.out)["time_zone"] == "Asia/Tokyo"
    moved = json.loads(taskcli("users", "edit", who, "--time-zone", "UTC", "--json").out)
    assert (moved["full_name"], moved["time_zone"]) == ("Ada", "UTC")
    unnamed = json.loads(taskcli("users", "edit", who, "--full-name", "", "--json").out)
    assert (unnamed["full_name"], unnamed["time_zone"]) == (None, "UTC")
    noted = taskcli("users", "edit", who, "--time-zone", "Asia/Tokyo").err
    assert "days begin in Asia/Tokyo now; dues with a time stay" in noted
    assert taskcli("users", "edit", who, "--time-zone", "Asia/Tokyo").err == ""
    unknown = taskcli("users", "edit", who, "--time-zone", "Mars/Olympus")
    assert (unknown.code, "time_zone" in unknown.err) == (65, True)
    assert taskcli("users", "edit", who).code == 2


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nthe next line\n"])
def test_the_password_is_the_first_line_without_its_ending(taskcli: Taskcli, ending: str) -> None:
    """The minimum is 8 characters: a counted line ending would make 7 long enough."""
    too_short = taskcli(
        *("users", "create", "--email", "ada@example.org", "--password-stdin"),
        stdin="hjq1357" + ending,
    )
    assert too_short.code == 65
    assert "at least 8 characters" in too_short.err
    enough = taskcli(
        *("users", "create", "--email", "ada@example.org", "--password-stdin"),
        stdin="hjq13579" + ending,
    )
    assert enough.code == 0


@pytest.mark.usefixtures("database")
def test_spaces_count_as_characters_of_a_password(taskcli: Taskcli) -> None:
    made = taskcli(
        *("users", "create", "--email", "ada@example.org", "--password-stdin"), stdin=" 123456 \n"
    )
    assert made.code == 0


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (b"", "password: is empty"),
        (b"\nsecond line", "password: is empty"),
        (b"caf\xe9 au lait", "password: is not valid UTF-8"),
        (b"a" * 9000, "password: takes at most 256 characters"),
    ],
)
def test_an_invalid_password_is_bad_data(taskcli: Taskcli, stdin: bytes, sentence: str) -> None:
    refused = taskcli(
        "users", "create", "--email", "ada@example.org", "--password-stdin", stdin=stdin
    )
    assert (refused.code, refused.out) == (65, "")
    assert sentence in refused.err


@pytest.mark.usefixtures("database")
def test_a_password_is_never_an_argument(taskcli: Taskcli) -> None:
    refused = taskcli("users", "create", "--email", "ada@example.org", "--password", PASSWORD)
    assert refused.code == 2
    assert PASSWORD not in refused.err


@pytest.mark.usefixtures("database")
def test_without_a_terminal_a_password_requires_password_stdin(taskcli: Taskcli) -> None:
    refused = taskcli("users", "create", "--email", "ada@example.org", stdin=PASSWORD)
    assert refused.code == 2
    assert "--password-stdin" in refused.err


def test_two_accounts_cannot_have_one_address(make_user: MakeUser, taskcli: Taskcli) -> None:
    make_user("ada@example.org")
    taken = taskcli(
        "users", "create", "--email", "ADA@example.org", "--password-stdin", stdin=PASSWORD
    )
    assert (taken.code, taken.err) == (*(65, "taskcli: Another account has this e-mail address\n"),)


def test_a_user_is_found_by_id_and_by_address(make_user: MakeUser, taskcli: Taskcli) -> None:
    number = make_user("ada@example.org")
    by_id = taskcli("users", "show", number, "--json")
    by_email = taskcli("users", "show", "ADA@EXAMPLE.ORG", "--json")
    assert by_id == by_email
    assert json.loads(by_id.out)["id"] == int(number)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("unknown", ["eve@example.org", "0", "9223372036854775808", "9" * 19])
def test_an_unknown_user_is_bad_data(taskcli: Taskcli, unknown: str) -> None:
    missing = taskcli("users", "show", unknown)
    assert (missing.code, missing.out) == (65, "")
    assert missing.err == f"taskcli: there is no user {unknown}\n"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("other", ["ada", "٣", "1" * 5000])
def test_an_argument_that_is_neither_id_nor_address_is_explained(
    taskcli: Taskcli, other: str
) -> None:
    refused = taskcli("users", "show", other)
    assert refused.code == 65
    assert "is neither an id nor an e-mail address" in refused.err


def test_lists_are_newest_first_and_paged(make_user: MakeUser, taskcli: Taskcli) -> None:
    for name in ("ada", "bob", "cyd"):
        make_user(f"{name}@example.org")
    listed = taskcli("users", "list", "--skip", "1", "--limit", "1", "--json")
    page = json.loads(listed.out)
    assert list(page) == ["items", "total", "skip", "limit", "next_cursor"]
    assert [user["email"] for user in page["items"]] == ["bob@example.org"]
    assert (page["total"], page["skip"], page["limit"]) == (3, 1, 1)


def test_lists_can_be_filtered(make_user: MakeUser, taskcli: Taskcli) -> None:
    make_user("ada@example.org", "admin")
    make_user("bob@example.org")
    assert taskcli("users", "deactivate", "bob@example.org").code == 0

    def names(*options: str) -> list[str]:
        page = json.loads(taskcli("users", "list", "--json", *options).out)
        return [user["email"].partition("@")[0] for user in page["items"]]

    assert names() == ["bob", "ada"]
    assert names("--role", "admin") == ["ada"]
    assert names("--active") == ["ada"]
    assert names("--inactive") == ["bob"]
    assert names("--email", "BOB@example.org") == ["bob"]
    assert names("--email", "bob@example.org", "--active") == []


def test_a_table_has_headings_and_a_hint_at_the_next_page(
    make_user: MakeUser, taskcli: Taskcli
) -> None:
    for name in ("ada", "bob"):
        make_user(f"{name}@example.org")
    listed = taskcli("users", "list", "--limit", "1")
    heading, row = listed.out.splitlines()
    names = ["id", "email", "full_name", "role", "is_active", "created_at"]
    assert heading.split("\t") == names
    assert row.split("\t")[1:5] == ["bob@example.org", "-", "user", "yes"]
    cursor = USERS.after(Page([a_user(id=int(row.split("\t")[0]))], 2, has_more=True))
    assert listed.err == f"taskcli: 1 to 1 of 2; --cursor {cursor} shows the next, --all all\n"
    assert cursor
    then = taskcli("users", "list", "--limit", "1", "--cursor", cursor)
    assert "ada@example.org" in then.out
    assert then.err == "taskcli: 1 shown\n"
    beyond = taskcli("users", "list", "--skip", "5")
    assert (beyond.out, beyond.err) == ("", "taskcli: none here, 2 in all\n")


@pytest.mark.usefixtures("database")
def test_an_empty_list_prints_a_message_except_as_json(taskcli: Taskcli) -> None:
    assert taskcli("users", "list").err == "taskcli: nothing found\n"
    listed = taskcli("users", "list", "--json")
    assert listed.err == ""
    envelope = {"total": 0, "skip": 0, "limit": 100, "next_cursor": None}
    assert json.loads(listed.out) == {"items": []} | envelope


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "options", [("--limit", "0"), ("--limit", "101"), ("--skip", "9" * 19), ("--skip", "10001")]
)
def test_a_page_out_of_range_is_bad_data(taskcli: Taskcli, options: tuple[str, str]) -> None:
    assert taskcli("users", "list", *options).code == 65


def test_a_new_role_applies_at_once(make_user: MakeUser, taskcli: Taskcli) -> None:
    make_user("ada@example.org", "admin")
    make_user("bob@example.org")
    assert taskcli("tasks", "list", "--as", "bob@example.org", "--owner", "ada@example.org").code
    changed = taskcli("users", "set-role", "bob@example.org", "admin", "--json")
    assert json.loads(changed.out)["role"] == "admin"
    seen = taskcli("tasks", "list", "--as", "bob@example.org", "--owner", "ada@example.org")
    assert seen.code == 0


def test_a_forgotten_password_is_replaced_by_one_from_standard_input(
    make_user: MakeUser, taskcli: Taskcli
) -> None:
    number = make_user("ada@example.org")
    done = taskcli("users", "set-password", "ada@example.org", "--password-stdin", stdin=f"{NEW}\n")
    assert (done.code, done.out) == (0, "")
    said = f"taskcli: set the password of user {number}, ada@example.org; all sessions have ended\n"
    assert done.err == said
    for stdin, said in (("short\n", "password: needs at least 8"), ("", "password: is empty")):
        refused = taskcli("users", "set-password", number, "--password-stdin", stdin=stdin)
        assert (refused.code, refused.out) == (65, "")
        assert said in refused.err
    for options in ((), ("--one-time", "--password-stdin")):
        assert taskcli("users", "set-password", number, *options, stdin=NEW).code == 2
    assert taskcli("users", "set-password", "bob@example.org", "--one-time").code == 65


def test_a_one_time_password_is_printed_once(make_user: MakeUser, taskcli: Taskcli) -> None:
    number = make_user("ada@example.org")
    done = taskcli("users", "set-password", number, "--one-time", "--json")
    made = json.loads(done.out)
    assert set(made) == {"one_time_password", "expires_at"}
    assert re.fullmatch(r"\w{5}-\w{5}-\w{5}", made["one_time_password"])
    again = taskcli("users", "set-password", number, "--one-time")
    assert re.match(r"one_time_password\t\w{5}-\w{5}-\w{5}\nexpires_at\t", again.out)
    told = taskcli("audit", "--user", number, "--event", "password.changed", "--json")
    details = [item["detail"] for item in json.loads(told.out)["items"]]
    assert [set(detail) for detail in details] == [{"one_time_until", "sessions"}] * 2


def test_an_unlock_says_what_stays_counted(
    core: Core, clock: ManualClock, taskcli: Taskcli
) -> None:
    """The attempts of a network that has used up its own."""

    def log_in(password: str) -> type[TaskcoreError] | None:
        origin = Origin("192.0.2.1")
        try:
            asyncio.run(
                core.sessions.log_in(email="ada@example.org", password=password, origin=origin)
            )
        except TaskcoreError as refusal:
            return type(refusal)
        return None

    assert [log_in("wrong") for _ in range(6)] == [*[InvalidCredentials] * 5, TooMany]
    unlocked = taskcli("users", "unlock", "ada@example.org")
    assert (unlocked.code, unlocked.out) == (0, "")
    assert unlocked.err == (
        "taskcli: unlocked user 1; a login from a network that has used up its 5 attempts may"
        " still get 429: one more is free each 60 s\n"
    )
    assert log_in(PASSWORD) is TooMany
    clock.advance(seconds=60)
    assert log_in(PASSWORD) is None


@pytest.mark.parametrize(
    "command",
    [
        ("users", "set-role", "ada@example.org", "user"),
        ("users", "deactivate", "ada@example.org"),
        ("users", "delete", "ada@example.org", "--yes"),
    ],
)
def test_the_last_active_administrator_cannot_be_removed(
    make_user: MakeUser, taskcli: Taskcli, command: tuple[str, ...]
) -> None:
    make_user("ada@example.org", "admin")
    refused = taskcli(*command)
    assert (refused.code, refused.out) == (65, "")
    assert "last active administrator" in refused.err


def test_a_user_is_deactivated_and_activated_again(make_user: MakeUser, taskcli: Taskcli) -> None:
    number = make_user("ada@example.org")
    deactivated = taskcli("users", "deactivate", number, "--json")
    assert json.loads(deactivated.out)["is_active"] is False
    activated = taskcli("users", "activate", "ada@example.org", "--json")
    assert json.loads(activated.out)["is_active"] is True


def test_deleting_a_user_deletes_the_tasks_and_prints_a_message(
    database: str, make_user: MakeUser, taskcli: Taskcli
) -> None:
    number = make_user("ada@example.org")
    assert taskcli("tasks", "create", "--as", number, "--title", "Write").code == 0
    deleted = taskcli("users", "delete", "ada@example.org", "--yes")
    assert (deleted.code, deleted.out) == (0, "")
    assert deleted.err == f"taskcli: deleted user {number}, ada@example.org\n"
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchall() == [(0,)]


def test_deleting_without_a_terminal_needs_yes(make_user: MakeUser, taskcli: Taskcli) -> None:
    make_user("ada@example.org")
    refused = taskcli("users", "delete", "ada@example.org", stdin="y\n")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert taskcli("users", "show", "ada@example.org").code == 0
