"""Answers are compressed for clients that accept it, except where that could give a secret away."""

import gzip
import json

import httpx
import pytest

from taskapi import compression
from tests.api.people import V1, Person
from tests.factories import PASSWORD

# On one store only: none of this depends on the store.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store", ["memory"], indirect=True),
]

LONG = "x" * 2000


async def asked(
    person: Person, path: str, accepted: str | None = "gzip", **more: str
) -> tuple[httpx.Headers, bytes]:
    """The headers and the bytes of a response, before they are unpacked."""
    headers = {"Authorization": f"Bearer {person.token}"} | more
    request = person.http.build_request("GET", V1 + path, headers=headers)
    del request.headers["accept-encoding"]
    if accepted is not None:
        request.headers["accept-encoding"] = accepted
    answer = await person.http.send(request, stream=True)
    unread = httpx.Response(answer.status_code, stream=answer.stream)  # without its coding
    return answer.headers, await unread.aread()


async def filled(person: Person) -> list[str]:
    """The paths of lists of more than LEAST bytes."""
    tasks = [await person.task("x" * 200, LONG) for _ in range(3)]
    await person.put(f"/tasks/{tasks[0]['id']}", {"description": LONG + "y"})
    await person.delete(f"/tasks/{tasks[1]['id']}")
    start = (await person.get("/changes")).json()["cursor"]
    labels = [f"{number:060}" for number in range(20)]
    await person.put(f"/tasks/{tasks[2]['id']}", {"title": "z", "labels": labels})
    history = f"/tasks/{tasks[0]['id']}/history"
    return ["/tasks", "/trash", history, f"/changes?cursor={start}", "/labels", "/tasks?q=z"]


async def test_lists_are_compressed_for_clients_that_accept_it(ada: Person) -> None:
    for path in await filled(ada):
        plain, whole = await asked(ada, path, None)
        packed, part = await asked(ada, path)
        assert "content-encoding" not in plain
        assert packed["content-encoding"] == "gzip"
        assert (int(packed["content-length"]), len(part)) == (len(part), len(part))
        assert gzip.decompress(part) == whole, path
        assert len(part) < len(whole)
        for headers in (plain, packed):
            assert headers["vary"] == "Accept-Encoding, Origin"
            assert "etag" not in headers
        head = await ada.ask("HEAD", path, headers={"Accept-Encoding": "gzip"})
        assert head.headers["content-length"] == packed["content-length"]


async def test_a_large_list_does_not_hold_up_the_event_loop(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(ada)
    monkeypatch.setattr(compression, "_AT_ONCE", 0)
    _, part = await asked(ada, "/tasks")
    assert json.loads(gzip.decompress(part))["total"] == 2


async def test_a_large_list_that_would_wait_for_those_of_others_is_sent_as_it_is(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six threads that compressed the pages of one user made others wait for 70 ms."""
    await filled(ada)
    monkeypatch.setattr(compression, "_AT_ONCE", 0)
    async with compression._turns.turn("another user"):
        headers, whole = await asked(ada, "/tasks")
    assert "content-encoding" not in headers
    assert (headers["vary"], int(headers["content-length"])) == (
        "Accept-Encoding, Origin",
        len(whole),
    )
    assert json.loads(whole)["total"] == 2


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        *((text, True) for text in ("gzip", "GZIP", "br, gzip", "gzip;q=0.5, br;q=1", "x-gzip")),
        *((text, True) for text in ("*", "*;q=0.1", "identity;q=0, *", "gzip ; q=1.000")),
        *((text, False) for text in ("", "identity", "br, zstd", "gzip;q=0", "gzip; q=0.000")),
        *((text, False) for text in ("*;q=0", "gzip;q=0, *", "gzipped", ";q=1", "deflate")),
    ],
)
async def test_only_what_a_client_accepts_is_sent(
    ada: Person, accepted: str, *, is_packed: bool
) -> None:
    """RFC 9110 section 12.5.3."""
    await filled(ada)
    for path in ("/tasks", "/openapi.json", "/docs"):
        headers, part = await asked(ada, path, accepted)
        assert (headers.get("content-encoding") == "gzip") is is_packed
        assert part.startswith(b"\x1f\x8b") is is_packed


async def test_what_holds_secrets_or_the_texts_of_strangers_is_not_compressed(
    ada: Person, root: Person
) -> None:
    """Compression tells by the length whether two texts are alike (CRIME, BREACH)."""
    name = "n" * 255
    await root.patch(f"/users/{ada.id}", {"full_name": name})
    await root.patch(f"/users/{root.id}", {"full_name": name})
    credentials = {"email": ada.email, "password": PASSWORD}
    for _ in range(8):
        granted = await ada.post("/auth/login", credentials)
        refreshed = await ada.post(
            "/auth/refresh", {"refresh_token": granted.json()["refresh_token"]}
        )
        for answer in (granted, refreshed):
            assert answer.status_code == 200
            assert "content-encoding" not in answer.headers
    for path in ("/audit", "/users", "/auth/events", "/auth/sessions", f"/users/{ada.id}"):
        headers, _ = await asked(root, path)
        assert "content-encoding" not in headers, path
    names = [f"{'x' * 60}{number}" for number in range(10)]
    headers, part = await asked(ada, f"/tasks?{'=1&'.join(names)}=1")
    assert len(part) > compression.LEAST
    assert "content-encoding" not in headers


async def test_one_task_keeps_the_tag_of_its_version(ada: Person) -> None:
    """A compressed one would need another tag (RFC 9110 section 8.8.3.3)."""
    task = await ada.task("x", LONG)
    headers, part = await asked(ada, f"/tasks/{task['id']}")
    assert "content-encoding" not in headers
    assert headers["etag"] == '"1"'
    assert len(part) > compression.LEAST


async def test_a_short_answer_is_sent_as_it_is(ada: Person) -> None:
    headers, _ = await asked(ada, "/tasks")
    assert "content-encoding" not in headers
    assert headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
async def test_the_documentation_has_a_tag_for_each_coding(ada: Person, path: str) -> None:
    plain, whole = await asked(ada, path, None)
    packed, part = await asked(ada, path)
    assert gzip.decompress(part) == whole
    assert plain["etag"] != packed["etag"]
    for headers in (plain, packed):
        assert headers["cache-control"] == "no-cache"
        assert headers["vary"] == "Accept-Encoding, Origin"
        for accepted, own in ((None, plain), ("gzip", packed)):
            again, nothing = await asked(ada, path, accepted, **{"If-None-Match": headers["etag"]})
            assert (again["etag"], nothing) == (own["etag"], b"")
            assert "content-encoding" not in again
