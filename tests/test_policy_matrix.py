"""Who may do what: one table, which the use cases, HTTP and the command line agree with."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from taskcore import (
    SYSTEM,
    Actor,
    Core,
    Forbidden,
    NotFound,
    Role,
    SessionId,
    TaskId,
    Unauthenticated,
    Update,
    UserId,
)
from taskcore.adapters.memory import memory_core
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.policies import Permission
from tests.api.conftest import app_over, opened
from tests.cli.conftest import KEY
from tests.cli.in_process import run, use_core
from tests.conftest import ManualClock
from tests.factories import PASSWORD
from tests.guards import agree

DONE, HIDDEN, FORBIDDEN, STRANGER = "done", "not_found", "forbidden", "unauthenticated"
MISSING = 2**62
ROLES = ("anonymous", "user", "admin", "system")
WHOSE = ("own", "another's", "missing")
CHANGE = {"current_password": PASSWORD, "new_password": f"{PASSWORD} battery"}

# Outcomes by role: for a thing that is one's own, another's and missing, or one outcome where the
# action names no thing. For "list" the thing is the owner. The system owns nothing.
Row = tuple[str, str, str] | tuple[str]
Rows = dict[str, Row]
NOT_FOR_STRANGERS: Row = (STRANGER, STRANGER, STRANGER)
TASK: Rows = {
    "anonymous": NOT_FOR_STRANGERS,
    "user": (DONE, HIDDEN, HIDDEN),
    "admin": (DONE, DONE, HIDDEN),
    "system": ("", DONE, HIDDEN),
}
LIST: Rows = {
    "anonymous": NOT_FOR_STRANGERS,
    "user": (DONE, FORBIDDEN, FORBIDDEN),
    "admin": (DONE, DONE, DONE),
    "system": ("", DONE, DONE),
}
ACCOUNT: Rows = {
    "anonymous": NOT_FOR_STRANGERS,
    "user": (FORBIDDEN, FORBIDDEN, FORBIDDEN),
    "admin": (DONE, DONE, HIDDEN),
    "system": ("", DONE, HIDDEN),
}
OWN: Rows = {
    "anonymous": (STRANGER,),
    "user": (DONE,),
    "admin": (DONE,),
    "system": (FORBIDDEN,),
}
ADMIN: Rows = {
    "anonymous": (STRANGER,),
    "user": (FORBIDDEN,),
    "admin": (DONE,),
    "system": (DONE,),
}
MATRIX: dict[str, Rows] = {
    **dict.fromkeys(Permission, TASK),
    **dict.fromkeys(["view in the trash", "see the history", "revert", "edit at once"], TASK),
    **dict.fromkeys(["list", "see the labels", "see the trash"], LIST),
    "show": ACCOUNT,
    "change": ACCOUNT,
    "remove": ACCOUNT,
    "unlock": ACCOUNT,
    # One's own is changed with the current one.
    "set the password": ACCOUNT | {"admin": (FORBIDDEN, DONE, HIDDEN)},
    "set a one-time password": ACCOUNT | {"admin": (FORBIDDEN, DONE, HIDDEN)},
    "end all sessions of": ACCOUNT,
    "create a task": OWN,
    "see oneself": OWN,
    "rename oneself": OWN,
    "delete oneself": OWN,
    "see own sessions": OWN,
    "end an own session": OWN,
    "see own events": OWN,
    "see own changes": OWN,
    "change the password": OWN,
    "log out": OWN | {"system": (STRANGER,)},  # it has no session to end
    "log out everywhere": OWN,
    "read the audit": ADMIN,
    "list accounts": ADMIN,
    "find an account": ADMIN,
    "create an account": ADMIN,
    "list sessions": ADMIN,
    "end a session": ADMIN,
    "end all sessions": ADMIN,
}
IN_TRASH = {"view in the trash", Permission.RESTORE, Permission.PURGE}
NOT_OVER_HTTP = {
    *("unlock", "find an account", "list sessions", "end a session", "end all sessions"),
    "view in the trash",
}


@dataclass(frozen=True)
class Case:
    role: str
    action: str
    whose: str
    outcome: str


CASES = [
    Case(role, action, whose, outcome)
    for action, rows in MATRIX.items()
    for role, row in rows.items()
    for whose, outcome in zip(WHOSE if len(row) > 1 else [""], row, strict=True)
    if outcome
]


def test_the_tables_leave_nothing_out() -> None:
    assert {*ROLES} == {"anonymous", "system", *Role}
    assert all(set(rows) == set(ROLES) for rows in MATRIX.values())
    agree(MATRIX, USE_CASES, "USE_CASES in tests/test_policy_matrix.py", "add its call")
    where = "OVER_HTTP in tests/test_policy_matrix.py"
    agree(set(MATRIX) - NOT_OVER_HTTP, OVER_HTTP, where, "add its request, or NOT_OVER_HTTP")
    where, advice = "ON_THE_COMMAND_LINE in tests/test_policy_matrix.py", "NOT_ON_THE_COMMAND_LINE"
    commands = set(MATRIX) - NOT_ON_THE_COMMAND_LINE
    agree(commands, ON_THE_COMMAND_LINE, where, f"add its command, or {advice}")


class Calls:
    """Notes the names of the use cases that are called on it, as `tasks.edit`."""

    def __init__(self, names: set[str], path: str = "") -> None:
        self._names, self._path = names, path

    def __getattr__(self, name: str) -> "Calls":
        return Calls(self._names, f"{self._path}.{name}".lstrip("."))

    def __call__(self, *_: object, **__: object) -> None:
        self._names.add(self._path)


def test_every_use_case_that_takes_an_actor_is_in_the_matrix() -> None:
    called: set[str] = set()
    for call in USE_CASES.values():
        call(Calls(called), Mock(), UserId(0), TaskId(0))  # type: ignore[arg-type]
    core = memory_core()
    there = {
        f"{noun}.{name}"
        for noun in {field.name for field in fields(Core)} - {"gate", "idempotency", "store"}
        for name, method in inspect.getmembers(getattr(core, noun), inspect.iscoroutinefunction)
        if not name.startswith("_") and "actor" in inspect.signature(method).parameters
    }
    advice = "add an action to MATRIX and USE_CASES, and to OVER_HTTP or NOT_OVER_HTTP"
    agree(there, called, "USE_CASES in tests/test_policy_matrix.py", advice)


@dataclass(frozen=True)
class World:
    """The actor, another user, and of each two tasks and a session.

    One of the tasks is in the trash.
    """

    email: str
    token: str
    actor: Actor
    own_id: int
    own_task: int
    own_trashed: int
    own_session: SessionId
    other_id: int
    other_task: int
    other_trashed: int
    other_session: SessionId

    def user(self, whose: str) -> UserId:
        found = {"own": self.own_id, "another's": self.other_id, "missing": MISSING}
        return UserId(found[whose])

    def task(self, whose: str, action: str) -> TaskId:
        found = {"own": self.own_task, "another's": self.other_task, "missing": MISSING}
        if action in IN_TRASH:
            found |= {"own": self.own_trashed, "another's": self.other_trashed}
        return TaskId(found[whose])


async def world(core: Core, number: int, role: str) -> World:
    own_role = Role.ADMIN if role == "admin" else Role.USER
    # The other user is an administrator too, so that the actor is never the last one.
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
    sessions = [actor.session_id for actor in actors if actor.session_id]
    tasks = [await core.tasks.create(actor, title="x") for actor in actors]
    trashed = [await core.tasks.create(actor, title="y") for actor in actors]
    for actor, task in zip(actors, trashed, strict=True):
        await core.tasks.delete(actor, task.id)
    return World(
        email=own.email,
        token=grants[0].access_token,
        actor=SYSTEM if role == "system" else actors[0],
        own_id=own.id,
        own_task=tasks[0].id,
        own_trashed=trashed[0].id,
        own_session=sessions[0],
        other_id=other.id,
        other_task=tasks[1].id,
        other_trashed=trashed[1].id,
        other_session=sessions[1],
    )


class Worlds:
    """A world for each case: a new one after each that was done; refusals change nothing."""

    def __init__(self, core: Core) -> None:
        self._core, self._number = core, 0
        self._unchanged: dict[str, World] = {}

    async def of(self, case: Case) -> World:
        there = self._unchanged.pop(case.role, None)
        if there is None:
            there = await world(self._core, self._number, case.role)
            self._number += 1
        if case.outcome != DONE:
            self._unchanged[case.role] = there
        return there


@pytest.mark.anyio
async def test_the_use_cases_agree(core: Core) -> None:
    """AZ-4: every use case that takes an actor, for every role, on both stores."""
    worlds = Worlds(core)
    for case in CASES:
        try:
            await use_case(core, await worlds.of(case), case)
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
    "end an own session": lambda core, there, _, __: core.sessions.end_own(
        there.actor, there.own_session
    ),
    "log out": lambda core, there, _, __: core.sessions.log_out(there.actor),
    "list sessions": lambda core, there, _, __: core.sessions.page(there.actor),
    "end a session": lambda core, there, _, __: core.sessions.end(there.actor, there.other_session),
    "end all sessions": lambda core, there, _, __: core.sessions.end_everybodys(there.actor),
    "find an account": lambda core, there, _, __: core.accounts.find(there.actor, there.email),
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
    "view in the trash": lambda core, there, _, task: core.tasks.get_trashed(there.actor, task),
    "see the history": lambda core, there, _, task: core.tasks.history(there.actor, task),
    "revert": lambda core, there, _, task: core.tasks.revert(there.actor, task, 1),
    "see own changes": lambda core, there, _, __: core.changes.page(there.actor),
    "edit": lambda core, there, _, task: core.tasks.edit(there.actor, task, title="y"),
    "edit at once": lambda core, there, _, task: core.tasks.bulk(
        there.actor, [Update(task, {"title": "y"})]
    ),
    "delete": lambda core, there, _, task: core.tasks.delete(there.actor, task),
    "restore": lambda core, there, _, task: core.tasks.restore(there.actor, task),
    "purge": lambda core, there, _, task: core.tasks.purge(there.actor, task),
    "list": lambda core, there, user, _: core.tasks.page(there.actor, owner_id=user),
    "see the labels": lambda core, there, user, _: core.tasks.labels(there.actor, owner_id=user),
    "see the trash": lambda core, there, user, _: core.tasks.trash(there.actor, owner_id=user),
    "show": lambda core, there, user, _: core.accounts.get(there.actor, user),
    "change": lambda core, there, user, _: core.accounts.change(there.actor, user, role=Role.USER),
    "end all sessions of": lambda core, there, user, _: core.sessions.end_all_of(there.actor, user),
    "set the password": lambda core, there, user, _: core.accounts.set_password(
        there.actor, user, password=f"{PASSWORD} battery"
    ),
    "set a one-time password": lambda core, there, user, _: core.accounts.set_one_time_password(
        there.actor, user
    ),
    "unlock": lambda core, there, user, _: core.sessions.unlock(there.actor, user),
    "remove": lambda core, there, user, _: core.accounts.delete(there.actor, user),
}


async def use_case(core: Core, there: World, case: Case) -> None:
    if case.role == "anonymous":  # without a token there is no actor to call a use case with
        await core.sessions.authenticate("")
    user, task = 0, 0
    if case.whose:
        user, task = there.user(case.whose), there.task(case.whose, case.action)
    await USE_CASES[case.action](core, there, UserId(user), TaskId(task))


OVER_HTTP: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "create a task": ("POST", "/tasks", {"title": "x"}),
    "see oneself": ("GET", "/auth/me", None),
    "rename oneself": ("PATCH", "/auth/me", {"full_name": "x"}),
    "delete oneself": ("POST", "/auth/delete-account", {"password": PASSWORD}),
    "see own sessions": ("GET", "/auth/sessions", None),
    "end an own session": ("DELETE", "/auth/sessions/{session}", None),
    "log out": ("POST", "/auth/logout", None),
    "see own events": ("GET", "/auth/events", None),
    "see own changes": ("GET", "/changes", None),
    "change the password": ("POST", "/auth/password", CHANGE),
    "log out everywhere": ("POST", "/auth/logout-all", None),
    "read the audit": ("GET", "/audit", None),
    "list accounts": ("GET", "/users", None),
    "create an account": ("POST", "/users", {"email": "new-{email}", "password": PASSWORD}),
    "view": ("GET", "/tasks/{task}", None),
    "see the history": ("GET", "/tasks/{task}/history", None),
    "revert": ("POST", "/tasks/{task}/revert", {"version": 1}),
    "edit": ("PUT", "/tasks/{task}", {"title": "y"}),
    "edit at once": (
        "POST",
        "/tasks/bulk",
        {"operations": [{"op": "update", "id": "{task}", "changes": {"title": "y"}}]},
    ),
    "delete": ("DELETE", "/tasks/{task}", None),
    "restore": ("POST", "/trash/{task}/restore", None),
    "purge": ("DELETE", "/trash/{task}", None),
    "list": ("GET", "/tasks?owner_id={user}", None),
    "see the labels": ("GET", "/labels?owner_id={user}", None),
    "see the trash": ("GET", "/trash?owner_id={user}", None),
    "show": ("GET", "/users/{user}", None),
    "change": ("PATCH", "/users/{user}", {"role": "user"}),
    "end all sessions of": ("DELETE", "/users/{user}/sessions", None),
    "set the password": ("POST", "/users/{user}/password", {"password": PASSWORD}),
    "set a one-time password": ("POST", "/users/{user}/password", {"one_time": True}),
    "remove": ("DELETE", "/users/{user}", None),
}


def named(there: World, case: Case) -> dict[str, object]:
    """What stands in the braces of a path, a body or a command."""
    found: dict[str, object] = {"email": there.email, "session": there.own_session}
    if case.whose:
        found |= {"task": there.task(case.whose, case.action), "user": there.user(case.whose)}
    return found


def filled(body: Any, names: dict[str, object]) -> Any:
    """The body with the names in its texts; the id of a task is a number."""
    if isinstance(body, dict):
        return {name: filled(value, names) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, names) for value in body]
    if not isinstance(body, str):
        return body
    return names["task"] if body == "{task}" else body.format(**names)


@pytest.fixture
def memory(clock: ManualClock) -> Core:
    return memory_core(clock=clock, hasher=ScryptHasher(n=2, r=1, p=1))


@pytest.fixture
async def http(memory: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(app_over(memory)) as client:
        yield client


@pytest.mark.anyio
async def test_http_agrees(memory: Core, http: httpx.AsyncClient) -> None:
    """AZ-4: every operation that asks for a token, for every role."""
    worlds = Worlds(memory)
    for case in CASES:
        if case.role == "system" or case.action in NOT_OVER_HTTP:
            continue
        there = await worlds.of(case)
        method, path, body = OVER_HTTP[case.action]
        names = named(there, case)
        sent = filled(body or {}, names)
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
    "see the history": ["tasks", "history", "{task}"],
    "revert": ["tasks", "revert", "{task}", "--version", "1"],
    "edit": ["tasks", "edit", "{task}", "--title", "y"],
    "delete": ["tasks", "delete", "{task}", "--yes"],
    "restore": ["tasks", "restore", "{task}"],
    "purge": ["tasks", "purge", "{task}", "--yes"],
    "list": ["tasks", "list", "--owner", "{user}"],
    "see the labels": ["tasks", "labels", "--owner", "{user}"],
    "see the trash": ["tasks", "trash", "--owner", "{user}"],
    "see own changes": ["changes"],
    "show": ["users", "show", "{user}"],
    "change": ["users", "set-role", "{user}", "user"],
    "end all sessions of": ["sessions", "revoke", "--user", "{user}", "--yes"],
    "unlock": ["users", "unlock", "{user}"],
    "list sessions": ["sessions", "list"],
    "end a session": ["sessions", "revoke", "{session}", "--yes"],
    "end all sessions": ["sessions", "revoke", "--all", "--yes"],
    "set the password": ["users", "set-password", "{user}", "--password-stdin"],
    "set a one-time password": ["users", "set-password", "{user}", "--one-time"],
    "remove": ["users", "delete", "{user}", "--yes"],
}
NOT_ON_THE_COMMAND_LINE = {
    *("see oneself", "rename oneself", "delete oneself", "change the password"),
    *("see own sessions", "end an own session", "see own events", "log out", "log out everywhere"),
    # Parts of other commands, or `--as` one task after the other.
    *("find an account", "view in the trash", "edit at once"),
}
"""An operator manages accounts as the system only: what is one's own there has no command."""
EXIT_CODES = {DONE: 0, HIDDEN: 65, FORBIDDEN: 77}


def commands() -> Iterator[Case]:
    for case in CASES:
        command = ON_THE_COMMAND_LINE.get(case.action, [])
        expressible = case.role == "system" or (
            case.role != "anonymous" and command[:1] in (["tasks"], ["changes"])  # they take `--as`
        )
        # `--owner` of an unknown user and a new task without `--as` are errors of usage.
        is_usage = (MATRIX[case.action] is LIST and case.whose == "missing") or (
            case.role == "system" and MATRIX[case.action] is OWN
        )
        if command and expressible and not is_usage:
            yield case


def test_the_command_line_agrees(
    memory: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AZ-4: every command on tasks and accounts, as the system and with `--as`."""

    async def prepared() -> list[World]:
        return [await world(memory, n, case.role) for n, case in enumerate(commands())]

    use_core(memory, monkeypatch)
    env = {"DATABASE_URL": "postgresql://nowhere/none", "SECRET_KEY": KEY}
    worlds = asyncio.run(prepared())
    assert {case.action for case in commands()} == set(ON_THE_COMMAND_LINE)
    for case, there in zip(commands(), worlds, strict=True):
        names = named(there, case)
        command = [word.format(**names) for word in ON_THE_COMMAND_LINE[case.action]]
        if case.role != "system":
            command += ["--as", there.email]
        done = run(*command, env=env, cwd=tmp_path, stdin=PASSWORD)
        assert done.code == EXIT_CODES[case.outcome], (case, command, done)
