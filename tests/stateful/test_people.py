"""Random requests by random people over PostgreSQL, compared with a plain model of the data."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskcore import SYSTEM, Core, Role, UserId
from taskcore.adapters.postgres import Connections, PostgresStore
from tests.api.conftest import app_over, opened, quiet
from tests.conftest import ManualClock, bound, cheap_argon2, emptied
from tests.factories import PASSWORD

MISSING = 2**62
MOST_SESSIONS = 5

people = st.sampled_from(["ada", "bob", "cyd"])
texts = st.sampled_from(["Write", "Post", "\u00e9 \U0001f600"])
names = st.none() | texts
pick = st.integers(0, 9)
mostly = st.sampled_from([True, True, True, False])
seldom = st.sampled_from([False, False, False, True])
roles = st.sampled_from(["user", "admin"])
fields: dict[str, st.SearchStrategy[Any]] = {
    "description": texts,
    "status": st.sampled_from(["todo", "done", "cancelled"]),
    "priority": st.sampled_from(["none", "high"]),
    "due_date": st.sampled_from([None, "2030-05-06"]),
    "labels": st.sampled_from([[], ["home"], ["Home", "\u00e9"]]),
}


@dataclass
class User:
    email: str
    full_name: str | None
    role: str = "user"
    is_active: bool = True


# A task as the API shows it.
Task = dict[str, Any]


@dataclass
class Session:
    user: int
    access: str
    refresh: str
    used: str = ""
    used_at: float = 0.0
    ended: bool = False


@dataclass
class World:
    """The model. Ids ascend in the order of creation."""

    users: dict[int, User] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    trash: dict[int, Task] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)

    def actor(self, session: Session) -> User | None:
        user = self.users.get(session.user)
        return user if user and user.is_active and not session.ended else None

    def find(self, email: str) -> tuple[int, User] | None:
        return next(((n, user) for n, user in self.users.items() if user.email == email), None)

    def is_last_admin(self, number: int) -> bool:
        admins = [n for n, u in self.users.items() if u.role == "admin" and u.is_active]
        return admins == [number]

    def forget(self, number: int) -> None:
        del self.users[number]
        self.tasks = {n: task for n, task in self.tasks.items() if task["owner_id"] != number}
        self.trash = {n: task for n, task in self.trash.items() if task["owner_id"] != number}


@dataclass
class Api:
    portal: BlockingPortal
    http: httpx.AsyncClient
    core: Core
    clock: ManualClock
    empty: Callable[[], None]
    seen: Counter[str] = field(default_factory=Counter)

    def ask(
        self, method: str, path: str, body: object = None, token: str = "", **headers: str
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        json = {} if body is None else {"json": body}
        request = partial(self.http.request, method, f"/api/v1{path}", headers=sent, **json)  # type: ignore[arg-type]
        answer = self.portal.call(request)
        template = re.sub(r"\d+", "N", path)
        self.seen[f"{method} {template} {answer.status_code}"] += 1
        return answer


class People(RuleBasedStateMachine):
    api: Api
    turn = 0

    @initialize()
    def some_are_there_already(self) -> None:
        self.api.empty()
        self.world = World()
        create = partial(
            self.api.core.accounts.create,
            SYSTEM,
            email="root@example.org",
            password=PASSWORD,
            role=Role.ADMIN,
        )
        root = self.api.portal.call(create)
        self.world.users[root.id] = User("root@example.org", None, "admin")
        self.log_in("root", right=True)
        for name in ("ada", "bob"):
            self.register(name, None)
            self.log_in(name, right=True)
            self.create_a_task(-1, "Write", {})
            self.create_a_task(-1, "Post", {})
            self.delete_a_task(-1, 0 if name == "ada" else 2, "")
        # A session that has ended, and the trash, would else take many steps to come about.
        self.register("cyd", None)
        self.log_in("cyd", right=True)
        self.delete_ones_own_account(-1, right=True)

    # The client uses one of the sessions opened so far, or a forged token.

    def session(self, number: int) -> Session:
        return self.world.sessions[number % len(self.world.sessions)]

    def task_id(self, number: int) -> int:
        known = [*self.world.tasks, MISSING]
        return known[number % len(known)]

    def trashed_id(self, number: int) -> int:
        known = [*self.world.trash, *[*self.world.tasks][:1], MISSING]
        return known[number % len(known)]

    def user_id(self, number: int) -> int:
        known = [*self.world.users, MISSING]
        return known[number % len(known)]

    def expect(
        self,
        session: Session,
        method: str,
        path: str,
        body: object,
        status: int,
        **headers: str,
    ) -> Any:
        """`status` is what a client with a living session gets; any other gets 401."""
        answer = self.api.ask(method, path, body, session.access, **headers)
        expected = status if self.world.actor(session) else 401
        assert answer.status_code == expected, (method, path, body, headers, answer.text)
        return answer.json() if answer.is_success and answer.content else None

    @rule(name=people, full_name=names)
    def register(self, name: str, full_name: str | None) -> None:
        email = f"{name}@example.org"
        taken = self.world.find(email)
        body = {"email": email.title(), "password": PASSWORD, "full_name": full_name}
        answer = self.api.ask("POST", "/auth/register", body)
        assert answer.status_code == (409 if taken else 201)
        if not taken:
            self.world.users[answer.json()["id"]] = User(email, full_name)

    @rule(name=people | st.just("root"), right=st.sampled_from([True, True, False]))
    def log_in(self, name: str, *, right: bool) -> None:
        if len(self.world.sessions) == MOST_SESSIONS:
            # Drop an ended session first; the newest stays, so that its token is tried again.
            over = [s for s in self.world.sessions if not self.world.actor(s)]
            self.world.sessions.remove((over or self.world.sessions)[0])
        email = f"{name}@example.org"
        found = self.world.find(email)
        body = {"email": email, "password": PASSWORD if right else "wrong horse"}
        answer = self.api.ask("POST", "/auth/login", body)
        works = right and found is not None and found[1].is_active
        assert answer.status_code == (200 if works else 401)
        if works and found:
            tokens = answer.json()
            session = Session(found[0], tokens["access_token"], tokens["refresh_token"])
            self.world.sessions.append(session)

    @rule(who=pick)
    def refresh(self, who: int) -> None:
        session = self.session(who)
        answer = self.api.ask("POST", "/auth/refresh", {"refresh_token": session.refresh})
        assert answer.status_code == (200 if self.world.actor(session) else 401)
        if answer.is_success:
            session.used, session.used_at = session.refresh, self.now()
            session.refresh = answer.json()["refresh_token"]
            session.access = answer.json()["access_token"]

    @precondition(lambda self: any(session.used for session in self.world.sessions))
    @rule(who=pick)
    def refresh_again_with_a_used_token(self, who: int) -> None:
        session = self.session(who)
        if not session.used:
            return
        answer = self.api.ask("POST", "/auth/refresh", {"refresh_token": session.used})
        is_retry = self.now() - session.used_at <= 10
        if session.ended or session.user not in self.world.users or not is_retry:
            assert answer.status_code == 401
            session.ended = True
        elif self.world.actor(session):
            assert answer.status_code == 200
            assert answer.json()["refresh_token"] == session.refresh
        else:
            assert answer.status_code == 401

    @rule(seconds=st.sampled_from([1, 20]))
    def time_passes(self, seconds: int) -> None:
        self.api.clock.advance(seconds=seconds)

    @rule(who=pick, title=texts, more=st.fixed_dictionaries({}, optional=fields))
    def create_a_task(self, who: int, title: str, more: dict[str, Any]) -> None:
        session = self.session(who)
        body = {"title": title} | more
        made = self.expect(session, "POST", "/tasks", body, 201)
        if made:
            assert made.items() >= (body | {"owner_id": session.user, "version": 1}).items()
            completed_at = made["created_at"] if made["status"] == "done" else None
            assert (made["completed_at"], made["due_at"]) == (completed_at, None)
            self.world.tasks[made["id"]] = made

    @rule(
        who=pick,
        which=pick,
        method=st.sampled_from(["PUT", "PATCH"]),
        changes=st.fixed_dictionaries({}, optional={"title": texts} | fields),
        seen=st.sampled_from(["", "current", "older", "*"]),
    )
    def edit_a_task(
        self, who: int, which: int, method: str, changes: dict[str, Any], seen: str
    ) -> None:
        session, number = self.session(who), self.task_id(which)
        task = self.visible(session, number)
        status, headers = self.precondition_of(task, seen)
        shown = self.expect(session, method, f"/tasks/{number}", changes, status, **headers)
        if shown and task:
            if any(task[name] != value for name, value in changes.items()):
                was_done = task["status"] == "done"
                changed = {"version": task["version"] + 1, "updated_at": shown["updated_at"]}
                task.update(changes | changed)
                if task["status"] != "done":
                    task["completed_at"] = None
                elif not was_done:
                    task["completed_at"] = shown["updated_at"]
            assert shown == task

    @rule(who=pick, which=pick, seen=st.sampled_from(["", "current", "older"]))
    def delete_a_task(self, who: int, which: int, seen: str) -> None:
        session, number = self.session(who), self.task_id(which)
        status, headers = self.precondition_of(self.visible(session, number), seen)
        status = 204 if status == 200 else status
        self.expect(session, "DELETE", f"/tasks/{number}", None, status, **headers)
        if status == 204 and self.world.actor(session):
            task = self.world.tasks.pop(number)
            self.world.trash[number] = task | {"version": task["version"] + 1}

    @rule(who=pick, which=pick)
    def restore_a_task(self, who: int, which: int) -> None:
        session, number = self.session(who), self.trashed_id(which)
        task = self.visible(session, number, self.world.trash)
        path = f"/trash/{number}/restore"
        shown = self.expect(session, "POST", path, None, 200 if task else 404)
        if shown and task:
            changed = {"version": task["version"] + 1, "updated_at": shown["updated_at"]}
            assert shown == task | changed
            del self.world.trash[number]
            # In the order of the ids, as the lists.
            self.world.tasks = dict(sorted([*self.world.tasks.items(), (number, shown)]))

    @rule(who=pick, which=pick)
    def purge_a_task(self, who: int, which: int) -> None:
        session, number = self.session(who), self.trashed_id(which)
        task = self.visible(session, number, self.world.trash)
        self.expect(session, "DELETE", f"/trash/{number}", None, 204 if task else 404)
        if task:
            del self.world.trash[number]

    @rule(who=pick)
    def look_into_the_trash(self, who: int) -> None:
        session = self.session(who)
        if page := self.expect(session, "GET", "/trash", None, 200):
            own = {n for n, t in self.world.trash.items() if t["owner_id"] == session.user}
            assert {task["id"] for task in page["items"]} == own
            assert page["total"] == len(own)
            times = [(task["deleted_at"], task["id"]) for task in page["items"]]
            assert times == sorted(times, reverse=True)

    @rule(who=pick, status=st.sampled_from(["open", "closed", "done"]))
    def list_by_status(self, who: int, status: str) -> None:
        session = self.session(who)
        words = {"open": {"todo"}, "closed": {"done", "cancelled"}}.get(status, {status})
        path = f"/tasks?status={status}&owner_id={session.user}"
        if page := self.expect(session, "GET", path, None, 200):
            wanted = [
                task
                for task in reversed(self.world.tasks.values())
                if task["owner_id"] == session.user and task["status"] in words
            ]
            assert (page["items"], page["total"]) == (wanted, len(wanted))

    @rule(who=pick, which=pick)
    def look_at_a_task(self, who: int, which: int) -> None:
        session, number = self.session(who), self.task_id(which)
        task = self.visible(session, number)
        shown = self.expect(session, "GET", f"/tasks/{number}", None, 200 if task else 404)
        assert not shown or shown == task

    @rule(who=pick, whose=pick)
    def list_an_owners_tasks(self, who: int, whose: int) -> None:
        session, owner = self.session(who), self.user_id(whose)
        actor = self.world.actor(session)
        allowed = actor is not None and (actor.role == "admin" or owner == session.user)
        path = f"/tasks?owner_id={owner}"
        page = self.expect(session, "GET", path, None, 200 if allowed else 403)
        if page:
            theirs = [n for n, task in self.world.tasks.items() if task["owner_id"] == owner]
            assert [task["id"] for task in page["items"]] == theirs[::-1]

    @rule(
        who=pick,
        whom=pick,
        changes=st.fixed_dictionaries(
            {}, optional={"full_name": names, "role": roles, "is_active": mostly}
        ),
    )
    def change_an_account(self, who: int, whom: int, changes: dict[str, Any]) -> None:
        session, number = self.session(who), self.user_id(whom)
        status = self.administering(session, number, 200)
        stays = changes.get("role", "admin") == "admin" and changes.get("is_active", True)
        if status == 200 and not stays and self.world.is_last_admin(number):
            status = 409
        shown = self.expect(session, "PATCH", f"/users/{number}", changes, status)
        if shown:
            user = self.world.users[number]
            for name, value in changes.items():
                setattr(user, name, value)
            for other in self.world.sessions:
                other.ended |= other.user == number and not user.is_active
            assert {name: shown[name] for name in changes} == changes

    @rule(who=pick, whom=pick)
    def delete_an_account(self, who: int, whom: int) -> None:
        session, number = self.session(who), self.user_id(whom)
        status = self.administering(session, number, 204)
        if status == 204 and self.world.is_last_admin(number):
            status = 409
        may = self.world.actor(session)
        self.expect(session, "DELETE", f"/users/{number}", None, status)
        if status == 204 and may:
            self.world.forget(number)

    @rule(who=pick, name=people, role=roles)
    def create_an_account(self, who: int, name: str, role: str) -> None:
        session, email = self.session(who), f"{name}@example.org"
        actor = self.world.actor(session)
        status = 409 if self.world.find(email) else 201
        if actor and actor.role != "admin":
            status = 403
        body = {"email": email, "password": PASSWORD, "role": role}
        made = self.expect(session, "POST", "/users", body, status)
        if made:
            self.world.users[made["id"]] = User(email, None, role)

    @rule(who=pick, right=seldom)
    def delete_ones_own_account(self, who: int, *, right: bool) -> None:
        session = self.session(who)
        last = self.world.is_last_admin(session.user)
        status = (409 if last else 204) if right else 401
        body = {"password": PASSWORD if right else "wrong horse"}
        may = self.world.actor(session)
        self.expect(session, "POST", "/auth/delete-account", body, status)
        if status == 204 and may:
            self.world.forget(session.user)

    @rule(who=pick, full_name=names)
    def rename_oneself(self, who: int, full_name: str | None) -> None:
        session = self.session(who)
        body = {"full_name": full_name}
        if shown := self.expect(session, "PATCH", "/auth/me", body, 200):
            self.world.users[session.user].full_name = full_name
            assert shown["full_name"] == full_name

    @rule(
        who=pick,
        spoilt=st.sampled_from([lambda t: t[:-4], lambda t: f"{t}=", lambda t: f"x{t}"]),
        call=st.sampled_from(["GET /tasks", "POST /tasks", "GET /users", "GET /auth/me"]),
    )
    def use_a_forged_token(self, who: int, spoilt: Callable[[str], str], call: str) -> None:
        method, path = call.split(" ")
        answer = self.api.ask(method, path, None, spoilt(self.session(who).access))
        assert answer.status_code == 401

    def now(self) -> float:
        return self.api.clock.now().timestamp()

    def visible(
        self, session: Session, number: int, among: dict[int, Task] | None = None
    ) -> Task | None:
        """Among the tasks outside of the trash, unless another place is named."""
        tasks = self.world.tasks if among is None else among
        actor, task = self.world.actor(session), tasks.get(number)
        if actor and task and (actor.role == "admin" or task["owner_id"] == session.user):
            return task
        return None

    def administering(self, session: Session, number: int, status: int) -> int:
        actor = self.world.actor(session)
        if actor and actor.role != "admin":
            return 403
        return status if number in self.world.users else 404

    @staticmethod
    def precondition_of(task: Task | None, seen: str) -> tuple[int, dict[str, str]]:
        version = task["version"] if task else 1
        tag = {"": "", "current": f'"{version}"', "older": f'"{version - 1}"', "*": "*"}[seen]
        status = 404 if task is None else 412 if seen == "older" else 200
        return status, {"If_Match": tag} if tag else {}

    @invariant()
    def each_person_sees_what_they_may_see(self) -> None:
        """One person a step, in turn."""
        self.turn += 1
        session = self.session(self.turn)
        actor = self.world.actor(session)
        page = self.expect(session, "GET", "/tasks", None, 200)
        if not actor:
            return
        tasks = [
            task
            for task in reversed(self.world.tasks.values())
            if actor.role == "admin" or task["owner_id"] == session.user
        ]
        envelope = {"total": len(tasks), "skip": 0, "limit": 100, "next_cursor": None}
        assert page == {"items": tasks} | envelope
        if actor.role == "admin":
            self.accounts_are_those_of_the_model(session)

    def accounts_are_those_of_the_model(self, session: Session) -> None:
        shown = self.expect(session, "GET", "/users", None, 200)["items"]
        told = {
            user["id"]: User(
                user["email"].lower(), user["full_name"], user["role"], user["is_active"]
            )
            for user in shown
        }
        assert told == self.world.users

    @invariant()
    def the_store_holds_nothing_else(self) -> None:
        core, call = self.api.core, self.api.portal.call
        tasks = call(partial(core.tasks.page, SYSTEM)).items
        assert {t.id for t in tasks} == set(self.world.tasks)
        for number in self.world.users:
            page = call(partial(core.tasks.trash, SYSTEM, owner_id=UserId(number)))
            thrown = {n: t for n, t in self.world.trash.items() if t["owner_id"] == number}
            assert {t.id: t.version for t in page.items} == {
                n: task["version"] for n, task in thrown.items()
            }
        users = call(partial(core.accounts.page, SYSTEM)).items
        assert {u.id: (u.role, u.is_active) for u in users} == {
            n: (u.role, u.is_active) for n, u in self.world.users.items()
        }
        assert any(u.is_active_admin for u in users)


__all__ = ["quiet"]  # the fixture applies here too

# Every status must have been seen: a run of refusals alone would agree with any model.
EVERYWHERE = {
    **dict.fromkeys(["GET /tasks/N"], "200 401 404"),
    # Not 412, which few walks reach and test_conditional.py tests.
    **dict.fromkeys(["PUT /tasks/N", "PATCH /tasks/N"], "200 401 404"),
    "DELETE /tasks/N": "204 401 404 412",
    "GET /tasks?owner_id=N": "200 401 403",
    "POST /tasks": "201 401",
    "POST /trash/N/restore": "200 401 404",
    "DELETE /trash/N": "204 404",
    "GET /trash": "200 401",
    "POST /users": "201 401 403 409",
    "PATCH /users/N": "200 401 403 404 409",
    "DELETE /users/N": "204 401 403 404 409",
    "POST /auth/register": "201 409",
    "POST /auth/login": "200 401",
    "POST /auth/refresh": "200 401",
    "POST /auth/delete-account": "204 401 409",
    "PATCH /auth/me": "200 401",
}


def walks(number: int, steps: int) -> settings:
    return settings(
        max_examples=number,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    clock = ManualClock()

    @asynccontextmanager
    async def running() -> AsyncIterator[Api]:
        async with Connections(database_url) as connections, cheap_argon2() as hasher:
            core = bound(PostgresStore(connections), clock, hasher)
            async with opened(app_over(core)) as http:
                yield Api(portal, http, core, clock, partial(emptied, database_url))

    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running()) as api:
        yield api


def missed(api: Api) -> list[str]:
    calls = (f"{call} {status}" for call, all_of in EVERYWHERE.items() for status in all_of.split())
    return [call for call in calls if not api.seen[call]]


@pytest.mark.parametrize(
    ("each", "rounds"),
    [(walks(8, 30), 1), pytest.param(walks(15, 40), 4, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def test_whatever_people_do_the_api_and_the_model_agree(
    api: Api, each: settings, rounds: int
) -> None:
    """Rounds with one seed each: so many, and more until every status has been seen."""
    for number in range(20):
        machine = seed(number)(type("Machine", (People,), {"api": api}))
        run_state_machine_as_test(machine, settings=each)
        if number + 1 >= rounds and not missed(api):
            break
    assert not missed(api)
