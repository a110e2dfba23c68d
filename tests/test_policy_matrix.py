"""Who may do what: one table, and every way in agrees with it."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from taskcli.main import exit_code
from taskcore import (
    SYSTEM,
    Actor,
    Core,
    Forbidden,
    NotFound,
    Role,
    TaskId,
    Unauthenticated,
    UserId,
)
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.domain.policies import Permission
from tests.api.conftest import app_over, opened
from tests.conftest import ManualClock, bound, cheap_argon2, emptied

DONE, HIDDEN, FORBIDDEN, STRANGER = "done", "not_found", "forbidden", "unauthenticated"
NOBODY = 2**62
PASSWORD = "correct horse"
ROLES = ("anonymous", "user", "admin", "system")
WHOSE = ("own", "another's", "missing")
Row = tuple[str, str, str]
CHANGE = {"current_password": PASSWORD, "new_password": f"{PASSWORD} battery"}

# To a list, `whose` is the owner whose tasks are asked for. The system has nothing of its own.
TASKS: dict[tuple[str, str], Row] = {
    ("anonymous", "view"): (STRANGER, STRANGER, STRANGER),
    ("anonymous", "edit"): (STRANGER, STRANGER, STRANGER),
    ("anonymous", "delete"): (STRANGER, STRANGER, STRANGER),
    ("anonymous", "list"): (STRANGER, STRANGER, STRANGER),
    ("user", "view"): (DONE, HIDDEN, HIDDEN),
    ("user", "edit"): (DONE, HIDDEN, HIDDEN),
    ("user", "delete"): (DONE, HIDDEN, HIDDEN),
    ("user", "list"): (DONE, FORBIDDEN, FORBIDDEN),
    ("admin", "view"): (DONE, DONE, HIDDEN),
    ("admin", "edit"): (DONE, DONE, HIDDEN),
    ("admin", "delete"): (DONE, DONE, HIDDEN),
    ("admin", "list"): (DONE, DONE, DONE),
    ("system", "view"): ("", DONE, HIDDEN),
    ("system", "edit"): ("", DONE, HIDDEN),
    ("system", "delete"): ("", DONE, HIDDEN),
    ("system", "list"): ("", DONE, DONE),
}
ACCOUNTS: dict[tuple[str, str], Row] = {
    ("anonymous", "show"): (STRANGER, STRANGER, STRANGER),
    ("anonymous", "change"): (STRANGER, STRANGER, STRANGER),
    ("anonymous", "log out"): (STRANGER, STRANGER, STRANGER),
    ("user", "log out"): (FORBIDDEN, FORBIDDEN, FORBIDDEN),
    ("admin", "log out"): (DONE, DONE, HIDDEN),
    ("system", "log out"): ("", DONE, HIDDEN),
    ("anonymous", "remove"): (STRANGER, STRANGER, STRANGER),
    ("user", "show"): (FORBIDDEN, FORBIDDEN, FORBIDDEN),
    ("user", "change"): (FORBIDDEN, FORBIDDEN, FORBIDDEN),
    ("user", "remove"): (FORBIDDEN, FORBIDDEN, FORBIDDEN),
    ("admin", "show"): (DONE, DONE, HIDDEN),
    ("admin", "change"): (DONE, DONE, HIDDEN),
    ("admin", "remove"): (DONE, DONE, HIDDEN),
    ("system", "show"): ("", DONE, HIDDEN),
    ("system", "change"): ("", DONE, HIDDEN),
    ("system", "remove"): ("", DONE, HIDDEN),
}
# What is asked of nobody in particular.
AT_LARGE: dict[tuple[str, str], str] = {
    ("anonymous", "create a task"): STRANGER,
    ("user", "create a task"): DONE,
    ("admin", "create a task"): DONE,
    ("system", "create a task"): FORBIDDEN,
    ("anonymous", "see oneself"): STRANGER,
    ("user", "see oneself"): DONE,
    ("admin", "see oneself"): DONE,
    ("system", "see oneself"): FORBIDDEN,
    ("anonymous", "rename oneself"): STRANGER,
    ("user", "rename oneself"): DONE,
    ("admin", "rename oneself"): DONE,
    ("system", "rename oneself"): FORBIDDEN,
    ("anonymous", "delete oneself"): STRANGER,
    ("user", "delete oneself"): DONE,
    ("admin", "delete oneself"): DONE,
    ("system", "delete oneself"): FORBIDDEN,
    ("anonymous", "see own sessions"): STRANGER,
    ("user", "see own sessions"): DONE,
    ("admin", "see own sessions"): DONE,
    ("system", "see own sessions"): FORBIDDEN,
    ("anonymous", "see own events"): STRANGER,
    ("user", "see own events"): DONE,
    ("admin", "see own events"): DONE,
    ("system", "see own events"): FORBIDDEN,
    ("anonymous", "change the password"): STRANGER,
    ("user", "change the password"): DONE,
    ("admin", "change the password"): DONE,
    ("system", "change the password"): FORBIDDEN,
    ("anonymous", "log out everywhere"): STRANGER,
    ("user", "log out everywhere"): DONE,
    ("admin", "log out everywhere"): DONE,
    ("system", "log out everywhere"): FORBIDDEN,
    ("anonymous", "read the audit"): STRANGER,
    ("user", "read the audit"): FORBIDDEN,
    ("admin", "read the audit"): DONE,
    ("system", "read the audit"): DONE,
    ("anonymous", "list accounts"): STRANGER,
    ("user", "list accounts"): FORBIDDEN,
    ("admin", "list accounts"): DONE,
    ("system", "list accounts"): DONE,
    ("anonymous", "create an account"): STRANGER,
    ("user", "create an account"): FORBIDDEN,
    ("admin", "create an account"): DONE,
    ("system", "create an account"): DONE,
}


@dataclass(frozen=True)
class Case:
    role: str
    action: str
    whose: str
    outcome: str


CASES = [
    Case(role, action, whose, outcome)
    for (role, action), row in (TASKS | ACCOUNTS).items()
    for whose, outcome in zip(WHOSE, row, strict=True)
    if outcome
] + [Case(role, action, "", outcome) for (role, action), outcome in AT_LARGE.items()]


def test_the_tables_leave_nothing_out() -> None:
    assert set(TASKS) == set(product(ROLES, [*Permission, "list"]))
    for table in (ACCOUNTS, AT_LARGE):
        assert set(table) == set(product(ROLES, {action for _, action in table}))
    assert {*ROLES} == {"anonymous", "system", *Role}


@dataclass(frozen=True)
class World:
    """Made anew for each case: whoever acts, somebody else, and a task of each."""

    email: str
    token: str
    actor: Actor
    own_id: int
    own_task: int
    other_id: int
    other_task: int

    def user(self, whose: str) -> UserId:
        found = {"own": self.own_id, "another's": self.other_id, "missing": NOBODY}
        return UserId(found[whose])

    def task(self, whose: str) -> TaskId:
        found = {"own": self.own_task, "another's": self.other_task, "missing": NOBODY}
        return TaskId(found[whose])


async def world(core: Core, number: int, role: str) -> World:
    own_role = Role.ADMIN if role == "admin" else Role.USER
    # The other one administers too, so that nobody is the last who does.
    own, other = [
        await core.accounts.create(
            SYSTEM, email=f"{name}{number}@example.org", password=PASSWORD, role=has_role
        )
        for name, has_role in (("own", own_role), ("other", Role.ADMIN))
    ]
    grants = [
        await core.sessions.log_in(email=user.email, password=PASSWORD) for user in (own, other)
    ]
    actors = [await core.sessions.authenticate(grant.access_token) for grant in grants]
    tasks = [await core.tasks.create(actor, title="x") for actor in actors]
    return World(
        email=own.email,
        token=grants[0].access_token,
        actor=SYSTEM if role == "system" else actors[0],
        own_id=own.id,
        own_task=tasks[0].id,
        other_id=other.id,
        other_task=tasks[1].id,
    )


@pytest.mark.anyio
async def test_the_use_cases_agree(core: Core) -> None:
    for number, case in enumerate(CASES):
        try:
            await use_case(core, await world(core, number, case.role), case)
            outcome = DONE
        except (Forbidden, NotFound, Unauthenticated) as refusal:
            outcome = STRANGER if isinstance(refusal, Unauthenticated) else refusal.code
        assert outcome == case.outcome, case


UseCase = Callable[[Core, World, UserId, TaskId], Awaitable[object]]
USE_CASES: dict[str, UseCase] = {
    "create a task": lambda core, there, _, __: core.tasks.create(there.actor, title="x"),
    "see oneself": lambda core, there, _, __: core.accounts.me(there.actor),
    "rename oneself": lambda core, there, _, __: core.accounts.change_profile(
        there.actor, full_name="x"
    ),
    "delete oneself": lambda core, there, _, __: core.accounts.delete_own(
        there.actor, password=PASSWORD
    ),
    "see own sessions": lambda core, there, _, __: core.sessions.own(there.actor),
    "see own events": lambda core, there, _, __: core.audit.own(there.actor),
    "change the password": lambda core, there, _, __: core.accounts.change_password(
        there.actor, **CHANGE
    ),
    "log out everywhere": lambda core, there, _, __: core.sessions.log_out_everywhere(there.actor),
    "read the audit": lambda core, there, _, __: core.audit.page(there.actor),
    "list accounts": lambda core, there, _, __: core.accounts.page(there.actor),
    "create an account": lambda core, there, _, __: core.accounts.create(
        there.actor, email=f"new-{there.email}", password=PASSWORD
    ),
    "view": lambda core, there, _, task: core.tasks.get(there.actor, task),
    "edit": lambda core, there, _, task: core.tasks.edit(there.actor, task, title="y"),
    "delete": lambda core, there, _, task: core.tasks.delete(there.actor, task),
    "list": lambda core, there, user, _: core.tasks.page(there.actor, owner_id=user),
    "show": lambda core, there, user, _: core.accounts.get(there.actor, user),
    "change": lambda core, there, user, _: core.accounts.change(there.actor, user, role=Role.USER),
    "log out": lambda core, there, user, _: core.sessions.end_all_of(there.actor, user),
    "remove": lambda core, there, user, _: core.accounts.delete(there.actor, user),
}


async def use_case(core: Core, there: World, case: Case) -> None:
    if case.role == "anonymous":  # all that such a one can do is fail to become an actor
        await core.sessions.authenticate("")
    user, task = (there.user(case.whose), there.task(case.whose)) if case.whose else (0, 0)
    await USE_CASES[case.action](core, there, UserId(user), TaskId(task))


OVER_HTTP = {
    "create a task": ("POST", "/tasks", {"title": "x"}),
    "see oneself": ("GET", "/auth/me", None),
    "rename oneself": ("PATCH", "/auth/me", {"full_name": "x"}),
    "delete oneself": ("POST", "/auth/delete-account", {"password": PASSWORD}),
    "see own sessions": ("GET", "/auth/sessions", None),
    "see own events": ("GET", "/auth/events", None),
    "change the password": ("POST", "/auth/password", CHANGE),
    "log out everywhere": ("POST", "/auth/logout-all", None),
    "read the audit": ("GET", "/audit", None),
    "list accounts": ("GET", "/users", None),
    "create an account": ("POST", "/users", {"email": "new-{email}", "password": PASSWORD}),
    "view": ("GET", "/tasks/{task}", None),
    "edit": ("PUT", "/tasks/{task}", {"title": "y"}),
    "delete": ("DELETE", "/tasks/{task}", None),
    "list": ("GET", "/tasks?owner_id={user}", None),
    "show": ("GET", "/users/{user}", None),
    "change": ("PATCH", "/users/{user}", {"role": "user"}),
    "log out": ("DELETE", "/users/{user}/sessions", None),
    "remove": ("DELETE", "/users/{user}", None),
}


@pytest.fixture
async def http(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(app_over(core)) as client:
        yield client


@pytest.mark.anyio
async def test_http_agrees(core: Core, http: httpx.AsyncClient) -> None:
    for number, case in enumerate(CASES):
        if case.role == "system":  # an operator at a terminal
            continue
        there = await world(core, number, case.role)
        method, path, body = OVER_HTTP[case.action]
        names = {"task": 0, "user": 0, "email": there.email}
        if case.whose:
            names |= {"task": there.task(case.whose), "user": there.user(case.whose)}
        sent = {name: value.format(**names) for name, value in (body or {}).items()}
        answer = await http.request(
            method,
            "/api/v1" + path.format(**names),
            json=sent if body else None,
            headers={} if case.role == "anonymous" else {"Authorization": f"Bearer {there.token}"},
        )
        status = {DONE: range(200, 300), HIDDEN: {404}, FORBIDDEN: {403}, STRANGER: {401}}
        assert answer.status_code in status[case.outcome], (case, answer.text)
        assert case.outcome in {DONE, answer.json().get("code") if answer.content else ""}


ON_THE_COMMAND_LINE = {
    "create a task": ["tasks", "create", "--title", "x"],
    "read the audit": ["audit"],
    "list accounts": ["users", "list"],
    "create an account": ["users", "create", "--email", "new-{email}", "--password-stdin"],
    "view": ["tasks", "show", "{task}"],
    "edit": ["tasks", "edit", "{task}", "--title", "y"],
    "delete": ["tasks", "delete", "{task}", "--yes"],
    "list": ["tasks", "list", "--owner", "{user}"],
    "show": ["users", "show", "{user}"],
    "change": ["users", "set-role", "{user}", "user"],
    "log out": ["sessions", "revoke", "--user", "{user}", "--yes"],
    "remove": ["users", "delete", "{user}", "--yes"],
}
"""An operator has no self, and manages accounts as nobody but the system."""
EXIT_CODES = {DONE: 0, HIDDEN: 65, FORBIDDEN: 77}
AS_SOMEBODY = {"create a task", *Permission, "list"}


def commands() -> Iterator[Case]:
    for case in CASES:
        expressible = case.role == "system" or (
            case.role != "anonymous" and case.action in AS_SOMEBODY
        )
        # Whose tasks to list is looked up first: a name that nobody bears is a mistake of the
        # operator's. And a task of nobody's is none that the command line offers to make.
        is_usage = (case.action, case.whose) == ("list", "missing") or (
            case.role == "system" and case.action == "create a task"
        )
        if case.action in ON_THE_COMMAND_LINE and expressible and not is_usage:
            yield case


Terminal = Callable[[list[str]], int]


@pytest.fixture
def terminal(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A command's exit code; each is given the password on standard input."""
    parts = conninfo_to_dict(database_url)
    url = f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SECRET_KEY", "a key for tests, of 0123456789 many letters")
    monkeypatch.chdir(tmp_path)

    def typed(command: list[str]) -> int:
        given = io.TextIOWrapper(io.BytesIO(PASSWORD.encode()))
        monkeypatch.setattr(sys, "stdin", given)
        return exit_code(command)

    return typed


def test_the_command_line_agrees(database_url: str, clock: ManualClock, terminal: Terminal) -> None:
    async def prepared() -> list[World]:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(Connections(database_url))
            hasher = await stack.enter_async_context(cheap_argon2())
            core = bound(PostgresStore(connections), clock, hasher)
            return [await world(core, n, case.role) for n, case in enumerate(commands())]

    emptied(database_url)
    worlds = asyncio.run(prepared())
    assert len(worlds) == 42
    for case, there in zip(commands(), worlds, strict=True):
        names = {"task": 0, "user": 0, "email": there.email}
        if case.whose:
            names |= {"task": there.task(case.whose), "user": there.user(case.whose)}
        command = [word.format(**names) for word in ON_THE_COMMAND_LINE[case.action]]
        if case.role != "system":
            command += ["--as", there.email]
        assert terminal(command) == EXIT_CODES[case.outcome], (case, command)
