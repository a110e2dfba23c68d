"""The audit log over HTTP: its filters, and who may read it."""

from typing import Any

import pytest

from tests.api.people import Person, broken, refused
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio


async def events(person: Person, query: str = "") -> list[dict[str, Any]]:
    answer = await person.get(f"/audit{query}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_page_is_an_envelope_newest_first(root: Person, ada: Person) -> None:
    await root.patch(f"/users/{ada.id}", {"role": "admin"})
    page = (await root.get("/audit?limit=1")).json()
    assert (page["skip"], page["limit"]) == (0, 1)
    assert page["total"] == len(await events(root))
    (newest,) = page["items"]
    assert newest["event"] == "role.changed"
    assert (newest["actor"], newest["actor_id"], newest["user_id"]) == ("user", root.id, ada.id)
    assert newest["detail"] == {"old": "user", "new": "admin"}
    assert newest["ip"] == "127.0.0.1"
    assert newest["user_agent"].startswith("python-httpx")
    older = await events(root, "?skip=1&limit=1")
    assert older[0]["id"] < newest["id"]


async def test_events_are_filtered_by_user_kind_and_time(root: Person, ada: Person) -> None:
    await ada.get("/users")
    everything = await events(root)
    for user in (root, ada):
        found = await events(root, f"?user={user.id}")
        expected = [e for e in everything if user.id in {e["user_id"], e["actor_id"]}]
        assert found == expected != []
    (denied,) = await events(root, "?event=authz.denied")
    assert (denied["actor_id"], denied["detail"]) == (ada.id, {"action": "administer"})
    at = denied["at"]
    for since in (at, at.replace("Z", "%2B00:00"), at.replace("Z", "+00:00")):
        found = await events(root, f"?since={since}")
        assert denied in found
        assert all(event["at"] >= at for event in found)
    assert await events(root, "?since=2999-01-01T00:00:00Z") == []
    assert await events(root, f"?user={2**62}") == []


@pytest.mark.parametrize(
    ("query", "where"),
    [
        *(("user=0", "user"), ("user=x", "user"), ("user=-1", "user"), (f"user={2**63}", "user")),
        *(("event=login", "event"), ("event=", "event"), ("event=null", "event")),
        *(("since=2026-01-31", "since"), ("since=2026-01-31T09:30:00", "since")),
        *(("since=", "since"), ("since=yesterday", "since"), ("since=1700000000", "since")),
        *(("skip=-1", "skip"), ("limit=0", "limit"), ("limit=101", "limit")),
    ],
)
async def test_an_invalid_parameter_is_named(root: Person, query: str, where: str) -> None:
    broken(await root.get(f"/audit?{query}"), where)


async def test_users_see_their_own_events_without_the_origin_of_others(
    root: Person, ada: Person, bob: Person
) -> None:
    await ada.post("/auth/password", {"current_password": "wrong horse", "new_password": PASSWORD})
    await root.patch(f"/users/{ada.id}", {"role": "admin"})
    await bob.get("/users")
    page = (await ada.get("/auth/events")).json()
    names = [event["event"] for event in page["items"]]
    assert names == ["role.changed", "reauth.failed", "login.succeeded", "user.created"]
    assert page["total"] == 4
    changed, failed, *_, created = page["items"]
    hidden = ("actor_id", "session_id", "ip", "user_agent", "request_id")
    for others in (changed, created):
        assert {others[name] for name in hidden} == {None}
        assert others["user_id"] == ada.id
    assert (failed["actor_id"], failed["ip"]) == (ada.id, "127.0.0.1")
    assert len((await ada.get("/auth/events?skip=1&limit=2")).json()["items"]) == 2
    broken(await ada.get("/auth/events?limit=0"), "limit")


async def test_the_audit_is_for_administrators(ada: Person, anonymous: Person) -> None:
    refused(await ada.get("/audit"), 403, "forbidden")
    refused(await anonymous.get("/audit"), 401, "unauthenticated")
    refused(await anonymous.get("/auth/events"), 401, "unauthenticated")
