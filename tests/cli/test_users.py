"""`taskcli users`, from making the first administrator to deleting somebody."""

import json
from collections.abc import Callable

import psycopg
import pytest

from tests.cli.conftest import PASSWORD, Operator

MakeUser = Callable[..., str]


@pytest.mark.usefixtures("database")
def test_the_first_administrator_is_made_here(operator: Operator) -> None:
    made = operator(
        *("users", "create", "--email", "Ada@Example.org", "--full-name", "Ada Lovelace"),
        *("--role", "admin", "--password-stdin", "--json"),
        stdin=PASSWORD + "\n",
    )
    assert (made.code, made.err) == (0, "")
    user = json.loads(made.out)
    assert list(user) == [
        *("id", "email", "full_name", "role", "is_active", "created_at", "updated_at"),
    ]
    assert (user["email"], user["full_name"], user["role"], user["is_active"]) == (
        *("Ada@example.org", "Ada Lovelace", "admin", True),
    )
    assert user["created_at"].endswith("Z")
    assert "argon2" not in made.out


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nthe next line\n"])
def test_one_line_is_the_password_without_its_ending(operator: Operator, ending: str) -> None:
    """Eight characters are the fewest: an ending that counted would be seen at seven."""
    too_short = operator(
        *("users", "create", "--email", "ada@example.org", "--password-stdin"),
        stdin="hjq1357" + ending,
    )
    assert too_short.code == 65
    assert "at least 8 characters" in too_short.err
    enough = operator(
        *("users", "create", "--email", "ada@example.org", "--password-stdin"),
        stdin="hjq13579" + ending,
    )
    assert enough.code == 0


@pytest.mark.usefixtures("database")
def test_a_space_is_a_character_of_a_password(operator: Operator) -> None:
    made = operator(
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
def test_a_password_that_cannot_be_one_is_bad_data(
    operator: Operator, stdin: bytes, sentence: str
) -> None:
    refused = operator(
        "users", "create", "--email", "ada@example.org", "--password-stdin", stdin=stdin
    )
    assert (refused.code, refused.out) == (65, "")
    assert sentence in refused.err


@pytest.mark.usefixtures("database")
def test_a_password_is_never_an_argument(operator: Operator) -> None:
    refused = operator("users", "create", "--email", "ada@example.org", "--password", PASSWORD)
    assert refused.code == 2
    assert PASSWORD not in refused.err


@pytest.mark.usefixtures("database")
def test_nobody_can_be_asked_for_a_password_in_a_pipe(operator: Operator) -> None:
    refused = operator("users", "create", "--email", "ada@example.org", stdin=PASSWORD)
    assert refused.code == 2
    assert "--password-stdin" in refused.err


def test_two_accounts_cannot_have_one_address(make_user: MakeUser, operator: Operator) -> None:
    make_user("ada@example.org")
    taken = operator(
        "users", "create", "--email", "ADA@example.org", "--password-stdin", stdin=PASSWORD
    )
    assert (taken.code, taken.err) == (*(65, "taskcli: Another account has this e-mail address\n"),)


def test_a_user_is_found_by_id_and_by_address(make_user: MakeUser, operator: Operator) -> None:
    number = make_user("ada@example.org")
    by_id = operator("users", "show", number, "--json")
    by_email = operator("users", "show", "ADA@EXAMPLE.ORG", "--json")
    assert by_id == by_email
    assert json.loads(by_id.out)["id"] == int(number)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("nobody", ["nobody@example.org", "0", "9223372036854775808", "9" * 19])
def test_a_user_who_is_not_there_is_bad_data(operator: Operator, nobody: str) -> None:
    missing = operator("users", "show", nobody)
    assert (missing.code, missing.out) == (65, "")
    assert missing.err == f"taskcli: there is no user {nobody}\n"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("other", ["ada", "٣", "1" * 5000])
def test_what_is_neither_id_nor_address_is_explained(operator: Operator, other: str) -> None:
    refused = operator("users", "show", other)
    assert refused.code == 65
    assert "is neither an id nor an e-mail address" in refused.err


def test_lists_are_newest_first_in_slices(make_user: MakeUser, operator: Operator) -> None:
    for name in ("ada", "bob", "cyd"):
        make_user(f"{name}@example.org")
    listed = operator("users", "list", "--skip", "1", "--limit", "1", "--json")
    page = json.loads(listed.out)
    assert list(page) == ["items", "total", "skip", "limit"]
    assert [user["email"] for user in page["items"]] == ["bob@example.org"]
    assert (page["total"], page["skip"], page["limit"]) == (3, 1, 1)


def test_lists_can_be_narrowed(make_user: MakeUser, operator: Operator) -> None:
    make_user("ada@example.org", "admin")
    make_user("bob@example.org")
    assert operator("users", "deactivate", "bob@example.org").code == 0

    def found(*options: str) -> list[str]:
        page = json.loads(operator("users", "list", "--json", *options).out)
        return [user["email"].partition("@")[0] for user in page["items"]]

    assert found() == ["bob", "ada"]
    assert found("--role", "admin") == ["ada"]
    assert found("--active") == ["ada"]
    assert found("--inactive") == ["bob"]
    assert found("--email", "BOB@example.org") == ["bob"]
    assert found("--email", "bob@example.org", "--active") == []


def test_people_see_columns_and_what_is_left_out(make_user: MakeUser, operator: Operator) -> None:
    for name in ("ada", "bob"):
        make_user(f"{name}@example.org")
    listed = operator("users", "list", "--limit", "1")
    heading, row = listed.out.splitlines()
    assert heading.split() == ["id", "email", "full_name", "role", "is_active", "created_at"]
    assert row.split()[1:5] == ["bob@example.org", "-", "user", "yes"]
    assert listed.err == "taskcli: 1 to 1 of 2; --skip 1 shows the next\n"
    beyond = operator("users", "list", "--skip", "5")
    assert (beyond.out, beyond.err) == ("", "taskcli: none here, 2 in all\n")


@pytest.mark.usefixtures("database")
def test_an_empty_list_says_so_to_people_only(operator: Operator) -> None:
    assert operator("users", "list").err == "taskcli: nothing found\n"
    listed = operator("users", "list", "--json")
    assert listed.err == ""
    assert json.loads(listed.out) == {"items": [], "total": 0, "skip": 0, "limit": 100}


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("options", [("--limit", "0"), ("--limit", "101"), ("--skip", "9" * 19)])
def test_a_slice_that_cannot_be_is_bad_data(operator: Operator, options: tuple[str, str]) -> None:
    assert operator("users", "list", *options).code == 65


def test_a_role_counts_at_once(make_user: MakeUser, operator: Operator) -> None:
    make_user("ada@example.org", "admin")
    make_user("bob@example.org")
    assert operator("tasks", "list", "--as", "bob@example.org", "--owner", "ada@example.org").code
    changed = operator("users", "set-role", "bob@example.org", "admin", "--json")
    assert json.loads(changed.out)["role"] == "admin"
    seen = operator("tasks", "list", "--as", "bob@example.org", "--owner", "ada@example.org")
    assert seen.code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("users", "set-role", "ada@example.org", "user"),
        ("users", "deactivate", "ada@example.org"),
        ("users", "delete", "ada@example.org", "--yes"),
    ],
)
def test_the_last_administrator_stays(
    make_user: MakeUser, operator: Operator, command: tuple[str, ...]
) -> None:
    make_user("ada@example.org", "admin")
    refused = operator(*command)
    assert (refused.code, refused.out) == (65, "")
    assert "last active administrator" in refused.err


def test_a_user_is_shut_out_and_let_in_again(make_user: MakeUser, operator: Operator) -> None:
    number = make_user("ada@example.org")
    out = operator("users", "deactivate", number, "--json")
    assert json.loads(out.out)["is_active"] is False
    back = operator("users", "activate", "ada@example.org", "--json")
    assert json.loads(back.out)["is_active"] is True


def test_deleting_takes_everything_and_says_so(
    database: str, make_user: MakeUser, operator: Operator
) -> None:
    number = make_user("ada@example.org")
    assert operator("tasks", "create", "--as", number, "--title", "Write").code == 0
    deleted = operator("users", "delete", "ada@example.org", "--yes")
    assert (deleted.code, deleted.out) == (0, "")
    assert deleted.err == f"taskcli: deleted user {number}, ada@example.org\n"
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchall() == [(0,)]


def test_deleting_without_a_terminal_needs_yes(make_user: MakeUser, operator: Operator) -> None:
    make_user("ada@example.org")
    refused = operator("users", "delete", "ada@example.org", stdin="y\n")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert operator("users", "show", "ada@example.org").code == 0
