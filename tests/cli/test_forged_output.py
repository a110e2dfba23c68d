"""Data in what commands print makes no other line and no other column."""

import ast
import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskcli import list_pages, output
from taskcli.exits import reported
from taskcli.output import ask, message, show_rows, trace
from taskcore import Core, Misconfigured, NotFound, Role
from taskcore.adapters.memory import memory_core
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.audit import ActorKind, AuditEventName, NewAuditEvent
from taskcore.domain.emails import Email
from taskcore.domain.origins import Origin
from taskcore.domain.sessions import Session, SessionId
from taskcore.domain.tasks import NewTask
from taskcore.domain.users import NewUser
from taskcore.testing.contracts.stored import IDLE, NOW, new_token, opened
from tests.cli.conftest import Taskcli
from tests.cli.in_process import use_core
from tests.cli.programs import SOURCE, Result

SESSION = SessionId(UUID(int=1))
FORGED = 'x"\ntaskcli: deleted task 8, "y"\r\x1b[2K\u2028\x85\t9  admin   yes'
MISLEADING = " \t\r\n\x1b\x7f\x85\x9b\xa0\u200b\u200d\u2028\u202e\u3000"
TEXTS = st.text(st.sampled_from(MISLEADING + 'ab"\\日'), min_size=1, max_size=30)
SHOWING = (
    *("users list", "users show 1", "users unlock 1", "tasks list", "tasks list --as 1"),
    *("tasks show 1", "tasks edit 1 --description x", "tasks labels --owner 1"),
    *("tasks trash --owner 1", "tasks restore 2", "tasks done 1", "tasks reopen 1"),
    *("tasks delete 1 --yes", "tasks purge 1 --yes"),
    *("sessions list", "audit", "sessions revoke --user 1 --yes", "users set-role 1 user"),
    *(
        "users set-password 1 --one-time",
        "users deactivate 1",
        "users activate 1",
        "users delete 1 --yes",
    ),
)
GIVEN = (
    *(["{}"], ["tasks", "{}"], ["tasks", "show", "{}"], ["tasks", "list", "--limit={}"]),
    *(["tasks", "list", "--as={}"], ["tasks", "list", "--owner=a@{}"], ["users", "show", "{}"]),
    *(["users", "list", "--role={}"], ["users", "list", "--{}"], ["sessions", "revoke", "{}"]),
    *(["tasks", "list", f"--{name}={{}}"] for name in ("status", "due-from", "sort", "cursor")),
    *(["tasks", "edit", "1", f"--{name}={{}}"] for name in ("priority", "due", "time-zone")),
    *(["audit", "--event={}"], ["audit", "--since={}"], ["audit", "--user={}"]),
    ["users", "delete", "{}"],
)


async def filled(core: Core, text: str) -> None:
    """With one of each, whose texts the rules of a later or earlier version let through."""
    async with core.store.autocommit() as db:
        draft = NewUser(Email(f"a@{text}", "key"), text, Role.USER, NOW)
        user = await db.users.add(draft, "none")
        for _ in range(2):
            draft_task = NewTask(user.id, NOW, title=text, time_zone=text, labels=(text,))
            task = await db.tasks.add(draft_task, at_most=2)
        await db.tasks.trash(task.trashed(NOW), was=task)
        origin = Origin("192.0.2.1", text)
        session = Session.new(SESSION, user.id, NOW, IDLE, origin)
        await opened(db, user, session, new_token(session, "x"))
        where = (SESSION, text, text, text, {text: text})
        for kind in ActorKind:
            event = (AuditEventName.LOGOUT, NOW, kind, None, user.id, *where)
            await db.audit.add(NewAuditEvent(*event))


@pytest.fixture
def printed(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Result]]:
    """What each command prints about data with that text in every field; asked once for each."""

    @cache
    def every(text: str, *, on_terminal: bool = False) -> list[Result]:
        for module in (list_pages, output):
            monkeypatch.setattr(module, "is_terminal", lambda: on_terminal)
        core = memory_core(hasher=ScryptHasher(n=2, r=1, p=1))
        asyncio.run(filled(core, text))

        use_core(core, monkeypatch)
        return [taskcli(*command.split()) for command in SHOWING]

    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/none")
    monkeypatch.setenv("SECRET_KEY", "0123456789 abcdefghij ABCDEFGHIJ")
    monkeypatch.setenv("COLUMNS", "900")
    return every


def shape(text: str, between: str) -> list[int]:
    """How many columns each line has."""
    return [len(re.split(between, line.rstrip())) for line in text.split("\n")]


few = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(text=TEXTS)
@example(FORGED)
@example(" ")
def test_no_data_makes_another_line_or_column(
    printed: Callable[..., list[Result]], text: str
) -> None:
    """CL-1: titles, names, addresses, user agents and events, in a pipe and on a terminal."""
    for on_terminal, between in ((False, "\t"), (True, " {2,}")):
        both = (printed(data, on_terminal=on_terminal) for data in ("x.org", text))
        for command, plain, odd in zip(SHOWING, *both, strict=True):
            assert plain.code == 0, (command, plain)
            assert shape(odd.out, between) == shape(plain.out, between), (command, odd.out)
            assert odd.err.count("\n") == plain.err.count("\n"), (command, odd.err)
            assert not set(odd.out + odd.err) & {*MISLEADING[2:], "\x00"} - {"\n", "\u200d"}


@few
@given(text=TEXTS)
@example(FORGED)
@example("\x1b[31m")
def test_no_argument_makes_another_line(
    printed: Callable[..., list[Result]], taskcli: Taskcli, text: str
) -> None:
    """CL-1: an argument that an error quotes, such as an address from a script."""
    printed("x")
    for command in GIVEN:
        said = taskcli(*(word.format(text) for word in command))
        first, *more = said.err.removesuffix("\n").split("\n")
        if said.code:
            assert first.startswith("taskcli: ")
        assert more in ([], [f"  try `taskcli {command[0]} --help`"]) or (
            len(more) == 1 and more[0].startswith("  try `taskcli")
        )
        assert said.err.replace("\n", "").isprintable() or "\u200d" in said.err


@given(TEXTS)
@example(FORGED)
def test_no_error_and_no_question_makes_another_line(text: str) -> None:
    """CL-1: names of files, texts of libraries, settings, and what a question quotes."""
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        for name in ("write", "write_error"):
            patch.setattr(output, name, written.append)
        patch.delenv("LOG_LEVEL", raising=False)
        ask(text)
        assert "\n" not in written.pop()
        for lines, say in (
            (2, lambda: message(text, text)),
            (1, lambda: reported(NotFound(text))),
            (2, lambda: reported(Misconfigured([text, text]))),
            (2, lambda: reported(OSError(text))),
            (2, lambda: show_rows([["a", text], [text, "b"]])),
        ):
            say()
            (said,) = written
            written.clear()
            assert said.count("\n") == lines
            assert said.replace("\n", "").replace("\u200d", "").replace("\t", "").isprintable()


def test_a_message_ends_where_its_data_ends(taskcli: Taskcli, printed: object) -> None:
    """CL-1: a title cannot end the quotes around it, and is cut."""
    assert callable(printed)
    title = 'x", task 8, "y\\'
    deleted = printed(title)[SHOWING.index("tasks delete 1 --yes")]
    assert deleted.err.startswith('taskcli: deleted task 1, "x\\", task 8, \\"y\\\\"\n')
    deleted = printed("x" * 99)[SHOWING.index("tasks delete 1 --yes")]
    assert deleted.err.startswith(f'taskcli: deleted task 1, "{"x" * 39}…"\n')
    assert taskcli("tasks", "delete", "1", "--yes").code == 65


def test_a_traceback_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    """CL-1: with LOG_LEVEL=DEBUG the text of an error begins no line."""
    trace(OSError(FORGED))
    assert all(line.startswith("  ") for line in capsys.readouterr().err.splitlines())


def test_a_line_of_a_library_is_indented(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CL-1: with LOG_LEVEL=DEBUG, where a driver may quote a title."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert taskcli("config", "show").code == 0
    logging.getLogger("driver").debug("refused %s", FORGED)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == 'DEBUG:driver:refused x"'
    assert others
    assert all(line.startswith("  ") for line in others)


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


COMMANDS = sorted((SOURCE / "taskcli").rglob("*.py"))
RAW = {"write", "write_error", "print", "sys.stdout.write", "sys.stderr.write", "os.write"}
# Pages of ours, a document in ASCII, and the modules that make everything visible.
MAY_WRITE = {
    *("standard_streams.py", "output.py", "main.py", "help_command.py", "completion.py"),
    *("openapi.py", "list_pages.py"),
}


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.name)
def test_only_what_makes_text_visible_writes(file: Path) -> None:
    """CL-1: commands print by functions of `output` and `list_pages`, so that none forgets it."""
    for name, call in calls(file):
        constant = all(isinstance(argument, ast.Constant) for argument in call.args)
        advice = f"{file.name}:{call.lineno}: print it by a function of taskcli/output.py"
        assert name not in RAW or file.name in MAY_WRITE or constant, advice


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.name)
def test_quotes_around_data_are_made_in_one_place(file: Path) -> None:
    """CL-1: by `quoted`, which escapes the quotes that the data holds."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            before = [part.value for part in node.values if isinstance(part, ast.Constant)]
            found = [text for text in map(str, before) if text.endswith(('"', "'"))]
            assert not found, f"{file.name}:{node.lineno}: use `quoted` of domain/printable"
