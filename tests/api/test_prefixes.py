"""Behind a proxy that serves us below a prefix, which it strips."""

from urllib.parse import urljoin

import pytest

from tests.api.people import V1, Person

# On one store only: none of this depends on the store.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store", ["memory"], indirect=True),
]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "/tc", "/a/b/c"])
async def test_addresses_lead_back_through_a_prefix_that_a_proxy_strips(
    ada: Person, prefix: str, slash: str
) -> None:
    """RFC 9110: the client resolves a reference against the address that it has asked."""
    public = f"https://example.org{prefix}{V1}"
    headers = {"Idempotency-Key": "one"}
    made = await ada.ask("POST", "/tasks/", {"title": "x"}, headers=headers)
    task = made.json()["id"]
    for again in (made, await ada.ask("POST", f"/tasks{slash}", {"title": "x"}, headers=headers)):
        asked = public + again.request.url.path.removeprefix(V1)
        assert urljoin(asked, again.headers["location"]) == f"{public}/tasks/{task}"
    await ada.task()
    await ada.put(f"/tasks/{task}", {"title": "y"})
    await ada.delete(f"/tasks/{(await ada.task())['id']}")
    await ada.delete(f"/tasks/{(await ada.task())['id']}")
    for path in ("/tasks", "/trash", f"/tasks/{task}/history"):
        answer = await ada.get(f"{path}{slash}?limit=1")
        link = answer.headers["link"].removeprefix("<").partition(">")[0]
        there = urljoin(f"{public}{path}{slash}?limit=1", link)
        assert there.startswith(f"{public}{path}?limit=1&cursor="), path
        assert (await ada.get(there.removeprefix(public))).json()["items"]


@pytest.mark.parametrize("prefix", ["", "/tc", "/a/b/c"])
async def test_the_document_names_its_server_through_a_prefix(
    anonymous: Person, prefix: str
) -> None:
    public = f"https://example.org{prefix}{V1}/openapi.json"
    (server,) = (await anonymous.get("/openapi.json")).json()["servers"]
    assert urljoin(public, server["url"]) == f"https://example.org{prefix}/"
    moved = await anonymous.get("/openapi.json/")
    assert moved.status_code == 308
    assert urljoin(f"{public}/", moved.headers["location"]) == public
