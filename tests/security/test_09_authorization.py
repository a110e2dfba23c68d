"""Changes of rights over two server processes; tests/test_policy_matrix.py has the rights."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import psycopg
import pytest

from tests.api.access import ACCESS
from tests.conftest import migrated_database
from tests.processes import eventually
from tests.security.site import PASSWORD, V1, Account, Site, at_once, site
from tests.server.running import taskcli


@pytest.fixture(scope="module")
def root(site: Site) -> Account:
    """An administrator that no test here demotes."""
    return site.join(role="admin")


@pytest.fixture(scope="module")
def lone(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose administrators each test chooses."""
    with site(tmp_path_factory.mktemp("lone"), database_url) as found:
        yield found


def administrators(lone: Site, number: int) -> list[Account]:
    """Make that many administrators, and remove every other account."""
    lone.sql("DELETE FROM users")
    accounts = [lone.join() for _ in range(number)]
    lone.sql("UPDATE users SET role = 'admin'")
    return accounts


def test_a_deactivation_counts_from_the_next_request_on(
    site: Site, root: Account, ada: Account
) -> None:
    """AZ-1: on every process, for access token, refresh token and password; and for good."""

    def entered(process: int) -> list[int]:
        tokens = site.me(ada.access, process=process), site.refresh(ada.refresh, process=process)
        return [tokens[0], tokens[1].status, site.log_in(ada.email, process=process).status]

    there = f"/users/{ada.id}"
    site.ask("PATCH", there, {"is_active": False}, token=root.access)
    assert entered(1) == entered(0) == [401, 401, 401]
    site.ask("PATCH", there, {"is_active": True}, token=root.access, process=1)
    assert entered(0) == [401, 401, 200]
    again = site.log_in(ada.email).json["access_token"]
    site.taskcli("users", "deactivate", ada.email)
    assert site.me(again, process=1) == 401
    assert entered(1) == entered(0) == [401, 401, 401]


def test_a_role_counts_from_the_next_request_on(
    site: Site, root: Account, ada: Account, bob: Account
) -> None:
    """AZ-2: on every process; a promotion needs no new login, and old tokens lose the right."""
    his = site.ask("POST", "/tasks", {"title": "his"}, token=bob.access).json["id"]

    places = list(product(("/users", "/audit", f"/users/{bob.id}", f"/tasks/{his}"), (1, 0)))

    def rights() -> list[int]:
        return [site.ask("GET", path, token=ada.access, process=n).status for path, n in places]

    for role, expected in (("admin", [200] * 8), ("user", [403] * 6 + [404] * 2)):
        site.ask("PATCH", f"/users/{ada.id}", {"role": role}, token=root.access)
        assert rights() == expected
    site.taskcli("users", "set-role", ada.email, "admin")
    assert rights() == [200] * 8


def is_waited_for(site: Site, rival: psycopg.Connection[Any]) -> bool:
    """Wait until a server waits for that transaction."""
    query = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    return eventually(lambda: site.sql(query, rival.info.backend_pid), within=1)


def test_what_was_read_is_what_is_written(site: Site, ada: Account, bob: Account) -> None:
    """AZ-6: a task that changes hands, and a right that ends, between the check and the write."""
    chief = site.join()
    site.sql("UPDATE users SET role = 'admin' WHERE id = %s", chief.id)
    number = site.ask("POST", "/tasks", {"title": "hers"}, token=ada.access).json["id"]
    site.ask("POST", "/tasks", {"title": "his"}, token=bob.access)
    gives = "UPDATE tasks SET owner_id = %s, edition = edition + 1 WHERE id = %s"
    demotes = "UPDATE users SET role = 'user' WHERE id = %s"
    for change, values, method, path, token, status in (
        (gives, (bob.id, number), "PUT", f"/tasks/{number}", ada.access, 404),
        (gives, (ada.id, number), "DELETE", f"/tasks/{number}", bob.access, 404),
        (demotes, (chief.id,), "PATCH", f"/users/{ada.id}", chief.access, 403),
    ):
        body = {"PUT": {"title": "theirs"}, "PATCH": {"role": "admin"}}.get(method)
        with psycopg.connect(site.conninfo) as rival, ThreadPoolExecutor(1) as pool:
            rival.execute(change, values)
            answer = pool.submit(site.ask, method, path, body, token=token)
            assert is_waited_for(site, rival)
            rival.commit()
            assert answer.result().status == status
    assert site.sql("SELECT title, owner_id FROM tasks WHERE id = %s", number) == [("hers", ada.id)]
    assert site.sql("SELECT role FROM users WHERE id = %s", ada.id) == [("user",)]


def keys(thing: object) -> Iterator[str]:
    if isinstance(thing, dict):
        yield from thing
        for value in thing.values():
            yield from keys(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from keys(value)


def test_no_answer_shows_a_secret_or_another_users_address(
    site: Site, root: Account, ada: Account, bob: Account
) -> None:
    """AZ-8: in no response to a user or an administrator."""
    hashes = site.sql("SELECT hashed_password FROM users WHERE id IN (%s, %s)", ada.id, bob.id)
    task = site.ask("POST", "/tasks", {"title": "his"}, token=bob.access).json["id"]
    session = site.ask("GET", "/auth/sessions", token=ada.access).json["items"][0]["id"]
    ids = {"task_id": task, "user_id": bob.id, "session_id": session, "name": "x"}
    seen: dict[int, str] = {}
    for who in (ada, root):
        for call in ACCESS:
            method, path = call.split(" ")
            # A stream does not end; it tells what `/changes` does.
            if re.search("openapi|stream", path) or not path.startswith(V1):
                continue
            if method in {"GET", "PATCH", "PUT"}:
                there = path.removeprefix(V1).format(**ids)
                answer = site.ask(method, there, {} if method[0] == "P" else None, token=who.access)
                seen[who.id] = seen.get(who.id, "") + answer.body.decode()
                if "json" in answer.headers["content-type"]:
                    assert not re.search("hash|password|token|secret", " ".join(keys(answer.json)))
    assert bob.email not in seen[ada.id]
    assert bob.email in seen[root.id]
    for text in (*(row[0] for row in hashes), bob.access, bob.refresh, PASSWORD):
        assert json.dumps(text)[1:-1] not in "".join(seen.values())


def test_the_last_administrator_stays(lone: Site) -> None:
    """AZ-9: 409 to demoting, deactivating or deleting them, by themselves or by the operator."""
    (chief,) = administrators(lone, 1)
    off = lone.join()
    lone.sql("UPDATE users SET role = 'admin', is_active = false WHERE id = %s", off.id)
    before = lone.sql("SELECT u::text FROM users AS u ORDER BY id")
    there = f"/users/{chief.id}"
    for method, path, body in (
        ("PATCH", there, {"role": "user"}),
        ("PATCH", there, {"is_active": False}),
        ("DELETE", there, None),
        ("POST", "/auth/delete-account", {"password": PASSWORD}),
    ):
        for process in (0, 1):
            answer = lone.ask(method, path, body, token=chief.access, process=process)
            assert (answer.status, answer.json["code"]) == (409, "last_admin"), path
    for command in (("set-role", "user"), ("deactivate",), ("delete", "--yes")):
        words = (command[0], chief.email, *command[1:])
        assert lone.terminal("users", *words).code == 65
    assert lone.sql("SELECT u::text FROM users AS u ORDER BY id") == before


def test_two_administrators_who_remove_each_other_leave_one(lone: Site) -> None:
    """AZ-10: at the same moment, on two processes, round after round."""
    demotion = ("PATCH", {"role": "user"})
    rounds = [demotion] * 20 + [("PATCH", {"is_active": False}), ("DELETE", None)] * 3
    both: list[Account] = []

    def remove(who: int) -> int:
        there = f"/users/{both[1 - who].id}"
        return lone.ask(method, there, body, token=both[who].access, process=who).status

    for method, body in rounds:
        if (method, body) == demotion and both:
            lone.sql("UPDATE users SET role = 'admin'")
        else:
            both = administrators(lone, 2)
        done, refused = sorted(at_once(remove, 2))
        assert len(lone.sql("SELECT 1 FROM users WHERE role = 'admin' AND is_active")) == 1
        # The second request had lost its right or its account.
        assert done in {200, 204}
        assert refused in {401, 403}


def test_an_administrator_may_step_down_while_another_stays(lone: Site) -> None:
    """AZ-11: at once and everywhere; the last one may not. A password is not asked for again."""
    ada, bob, eve = administrators(lone, 3)
    one = lone.ask("PATCH", f"/users/{ada.id}", {"role": "user"}, token=ada.access)
    assert one.status == 200
    for process in (1, 0):
        assert lone.ask("GET", "/users", token=ada.access, process=process).status == 403
    other = lone.ask("PATCH", f"/users/{bob.id}", {"is_active": False}, token=bob.access)
    assert other.status == 200
    assert {lone.me(bob.access, process=process) for process in (1, 0)} == {401}
    last = lone.ask("PATCH", f"/users/{eve.id}", {"role": "user"}, token=eve.access)
    assert (last.status, last.json["code"]) == (409, "last_admin")


def test_the_first_to_register_is_no_administrator(database_url: str, lone: Site) -> None:
    """AZ-12: a new database has no account, and the first to register is a user."""
    with migrated_database(database_url) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    administrators(lone, 0)
    first = lone.join()
    assert lone.sql("SELECT id, role FROM users") == [(first.id, "user")]
    assert lone.ask("GET", "/users", token=first.access).status == 403


def test_operators_make_the_first_administrator(lone: Site) -> None:
    """AZ-12: at the terminal, once for each address; the audit marks the first."""
    administrators(lone, 0)
    api, emails = lone.apis[0], ("one@example.org", "one@example.org", "two@example.org")

    def create(number: int) -> int:
        words = ("create", "--email", emails[number], "--role", "admin", "--password-stdin")
        return taskcli(api.folder, "users", *words, stdin=PASSWORD, **api.env).returncode

    codes = at_once(create, 3)
    assert (sorted(codes[:2]), codes[2]) == ([0, 65], 0)
    ids = [row[0] for row in lone.sql("SELECT id FROM users WHERE role = 'admin' ORDER BY id")]
    assert [lone.events(user_id) for user_id in ids] == [["admin.bootstrap"], ["user.created"]]


def test_every_change_of_rights_says_who_did_what_to_whom(
    site: Site, root: Account, ada: Account
) -> None:
    """AZ-13: role, activity and deletion, with old and new values; no event without a change."""
    there = f"/users/{ada.id}"
    for method, body in (
        ("PATCH", {"role": "admin"}),
        ("PATCH", {"role": "admin", "full_name": "Ada"}),
        ("PATCH", {"role": "user", "is_active": False}),
        ("PATCH", {"is_active": True}),
        ("DELETE", None),
    ):
        site.ask(method, there, body, token=root.access)
    items = site.ask("GET", f"/audit?user={ada.id}", token=root.access).json["items"]
    found = [(e["event"], e["actor_id"], e["user_id"], e["detail"]) for e in reversed(items)]
    assert found[2:] == [
        ("role.changed", root.id, ada.id, {"old": "user", "new": "admin"}),
        ("profile.changed", root.id, ada.id, {}),
        ("role.changed", root.id, ada.id, {"old": "admin", "new": "user"}),
        ("user.deactivated", root.id, ada.id, {}),
        ("user.reactivated", root.id, ada.id, {}),
        ("user.deleted", root.id, ada.id, {}),
    ]


def test_everything_of_a_user_is_deleted_with_them(site: Site, root: Account, ada: Account) -> None:
    """AZ-14: tasks, sessions and tokens in one transaction; the audit stays."""
    number = site.ask("POST", "/tasks", {"title": "hers"}, token=ada.access).json["id"]

    def left() -> list[int]:
        rows = ("users WHERE id", "tasks WHERE owner_id", "sessions WHERE user_id")
        return [site.sql(f"SELECT count(*) FROM {of} = %s", ada.id)[0][0] for of in rows]  # noqa: S608 - ours

    there = f"/users/{ada.id}"
    with psycopg.connect(site.conninfo) as rival:
        rival.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", (number,))
        # Held up for too long it is given up, and then all of it.
        assert site.ask("DELETE", there, token=root.access).status == 503
        assert left() == [1, 1, 1]
    assert site.me(ada.access, process=1) == 200
    assert site.ask("DELETE", there, token=root.access).status == 204
    assert left() == [0, 0, 0]
    assert site.me(ada.access, process=1) == 401
    assert site.refresh(ada.refresh, process=1).status == 401
    assert site.ask("GET", f"/tasks/{number}", token=root.access).status == 404
    assert site.events(ada.id)[-1] == "user.deleted"
