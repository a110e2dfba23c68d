"""What is said about a command line that is wrong: it names what to type instead."""

import re

import pytest

from tests.cli.conftest import Taskcli

CREATE = ("tasks", "create", "--title")
JARGON = re.compile(r"(?i:parameter|argument|token|invalid|convert|unknown)|VALUE")


@pytest.mark.parametrize(
    ("typed", "said", "help_command"),
    [
        (("usr",), 'there is no command "usr"; did you mean users?', ""),
        (("users", "shw"), 'there is no command "shw"; did you mean show?', "users"),
        (("db", "x"), 'there is no command "x"; there are upgrade, current, check', "db"),
        (("tasks", "--as", "1", "list"), 'before "--as" type one of list, show, create', "tasks"),
        (
            ("users", "list", "--emial=x"),
            'there is no option "--emial"; did you mean --email?',
            "users list",
        ),
        (("users", "show", "1", "--version"), 'there is no option "--version"', "users show"),
        (("tasks", "list", "-hx"), 'there is no option "-hx"', "tasks list"),
        # Before what else is wrong, which it has most often caused.
        (("tasks", "create", "--titel", "X"), 'no option "--titel"; did you mean --title?', ""),
        (("tasks", "create", "--titel=X", "--due", "x"), "did you mean --title?", "tasks create"),
        ((*CREATE, "A", "--prioritty", "low", "--due", "x"), "did you mean --priority?", ""),
        (("tasks", "list", "--limit", "ten", "--josn"), "did you mean --json?", "tasks list"),
        (("tasks", "list", "x", "--josn"), "did you mean --json?", "tasks list"),
        (("users", "create", "--full_name", "A", "--rol", "b"), "did you mean --role?", ""),
        (("tasks", "create", "--label", "--titel", "A"), '--label="--titel"', "tasks create"),
        (("users", "create", "--full_name", "A"), "add --email EMAIL", "users create"),
        (("tasks", "list", "--", "--y"), 'there is no option "--y"', "tasks list"),
        (("users", "show"), "EMAIL|ID is missing: type `taskcli users show EMAIL|ID`", ""),
        (("users", "set-role", "1"), "ROLE, one of user|admin, is missing: type `taskcli", ""),
        (("tasks", "create"), "add --title TEXT (what there is to do)", "tasks create"),
        (("users", "create"), "add --email EMAIL (the address to log in with)", "users create"),
        (("tasks", "list", "--as"), "--as needs a value: --as EMAIL|ID (act as this user", ""),
        (("tasks", "list", "--as", "--json"), "--as needs a value: --as EMAIL|ID", "tasks list"),
        (("tasks", "list", "--priority"), "--priority needs a value: --priority none|low|", ""),
        (("tasks", "list", "--label"), "--label needs a value: --label LABEL (only with", ""),
        ((*CREATE, "-5 kg"), 'needs an equals sign: --title="-5 kg"', "tasks create"),
        ((*CREATE, "Buy", "the", "milk"), 'in quotes: --title "Buy the milk"', "tasks create"),
        (("tasks", "create", "--title=Buy", "milk"), 'in quotes: --title "Buy milk"', ""),
        ((*CREATE, "A", "--due", "fri", "9:00"), 'in quotes: --due "fri 9:00"', "tasks create"),
        (
            (*CREATE, "A", "--label", "a", "b"),
            "repeat --label for several: --label a --label b",
            "",
        ),
        (
            ("tasks", "list", "--priority", "high", "low"),
            "repeat --priority for several: --priority high --priority low",
            "",
        ),
        (("tasks", "list", "--status", "opne"), "closed; did you mean open?", "tasks list"),
        (("tasks", "list", "--sort", "duee"), "relevance; did you mean due?", "tasks list"),
        (("tasks", "list", "--overdue", "x"), '--overdue takes no value: leave out "x"', ""),
        (("users", "list", "--active", "x"), '--active takes no value: leave out "x"', ""),
        (("users", "edit", "1", "--full-name"), "needs a value: --full-name NAME (the pers", ""),
        (("tasks", "list", "--overdue=x"), '--overdue takes no value: leave out "x"', ""),
        (("tasks", "show", "1", "2"), '"2" is one word too many: type `taskcli tasks show ID`', ""),
        (("db", "check", "--", "x"), '"x" is one word too many: type `taskcli db check`', ""),
        (("tasks", "show", "one"), 'ID: "one" is not a whole number', "tasks show"),
        (("users", "list", "--limit", "ten"), '--limit: "ten" is not a whole number', ""),
        (
            ("tasks", "done", "11,13"),
            'ID...: "11,13" has commas: divide several numbers by blanks',
            "",
        ),
        (("tasks", "done", "11,", "13"), '"11," has commas: divide several', "tasks done"),
        (("tasks", "done", "1,x"), 'ID...: "1,x" is not a whole number', "tasks done"),
        (("tasks", "show", "1,2"), 'ID: "1,2" is not a whole number', "tasks show"),
        (("users", "list", "--role=amin"), '"amin" is none of user, admin; did you mean admin', ""),
        (("completion", "tcsh"), 'SHELL: "tcsh" is none of bash, zsh, fish', "completion"),
        (("sessions", "revoke", "7"), 'ID: "7" is no id such as 01234567-89ab-cdef-', ""),
        ((*CREATE, "A", "--title", "B"), "--title is there twice; give it once", "tasks create"),
    ],
)
def test_a_mistake_is_explained(
    taskcli: Taskcli, typed: tuple[str, ...], said: str, help_command: str
) -> None:
    wrong = taskcli(*typed)
    assert (wrong.code, wrong.out) == (2, "")
    first, second = wrong.err.splitlines()
    assert said in first
    assert f"`taskcli {help_command}".rstrip() in second
    assert not JARGON.search(first)
