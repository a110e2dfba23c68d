"""What changes, as server-sent events, on both stores."""

from contextlib import AsyncExitStack

import pytest
from litestar import Litestar

from taskapi import change_streams
from taskapi.change_streams import COMMENT_EVERY
from taskapi.changes import follow_changes
from taskapi.edge import Edge
from taskcore import LogPosition, UserId, cursors
from taskcore.domain.origins import Origin
from taskcore.usecases.change_followers import PER_USER
from tests.api.people import HEADERS, Person
from tests.api.streaming import Event, streaming

pytestmark = pytest.mark.anyio


async def test_changes_are_told_as_they_happen(app: Litestar, ada: Person) -> None:
    async with streaming(app, ada) as stream:
        status, headers = await stream.start()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert headers["x-accel-buffering"] == "no"
        assert headers.items() >= HEADERS.items()
        assert (await stream.message())["body"] == b"retry: 3000\n\n"
        begin = await stream.event()
        task = await ada.task("x")
        first = await stream.event()
        assert begin
        assert begin.name == ""
        assert first
        item = {"type": "task", "id": task["id"], "change": "upserted", "task": task}
        assert first == Event(first.id, "change", item)
        page = (await ada.get(f"/changes?cursor={begin.id}")).json()
        assert page == {"items": [item], "cursor": first.id, "has_more": False}
        await ada.delete(f"/tasks/{task['id']}")
        assert (await stream.change())["task"] is None
    assert followers(app) == {}


async def test_a_stream_reads_on_where_the_one_before_ended(app: Litestar, ada: Person) -> None:
    start = (await ada.get("/changes")).json()["cursor"]
    first, second = await ada.task("first"), await ada.task("second")
    async with streaming(app, ada, query=f"cursor={start}") as stream:
        await stream.start()
        event = await stream.event()
        assert event
        assert event.data["task"] == first
    async with streaming(app, ada, query=f"cursor={start}", last_event_id=event.id) as stream:
        await stream.start()
        assert (await stream.change())["task"] == second


async def test_after_a_place_that_has_expired_it_says_so_and_goes_on(
    app: Litestar, ada: Person
) -> None:
    cursor = cursors.changes(UserId(ada.id)).at(LogPosition(7, 7))
    async with streaming(app, ada, query=f"cursor={cursor}") as stream:
        await stream.start()
        event = await stream.event()
        assert event
        present = (await ada.get("/changes")).json()["cursor"]
        assert event == Event(present, "reset", {"cursor": present})
        task = await ada.task("x")
        assert (await stream.change())["task"] == task


async def test_a_stream_without_changes_says_from_time_to_time_that_it_lives(
    app: Litestar, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_streams, "COMMENT_EVERY", 0.01)
    async with streaming(app, ada) as stream:
        await stream.start()
        await stream.event()
        for _ in range(2):
            assert (await stream.message())["body"] == b":\n\n"
        task = await ada.task("x")
        assert (await stream.change())["task"] == task
        while (await stream.message())["body"] != b":\n\n":
            pass


async def test_the_document_says_how_often_that_is_and_how_many_streams_a_user_has() -> None:
    told = " ".join(str(follow_changes.fn.__doc__).split())
    assert f"A comment comes every {COMMENT_EVERY:.0f} seconds." in told
    assert f"A user has at most {PER_USER} at a time" in told


async def test_what_was_missed_is_sent_page_by_page(app: Litestar, ada: Person) -> None:
    start = (await ada.get("/changes")).json()["cursor"]
    create = {"op": "create", "task": {"title": "x"}}
    for number in (100, 3):
        await ada.post("/tasks/bulk", {"operations": [create] * number})
    items = (await ada.get(f"/changes?cursor={start}")).json()["items"]
    async with streaming(app, ada, query=f"cursor={start}") as stream:
        await stream.start()
        await stream.message()
        for number in (100, 3):
            body = (await stream.message())["body"]
            assert body.count(b"\n\n") == body.count(b"\nevent: change\ndata: ") == number
            stream.text += body.decode()
        assert [await stream.change() for _ in items] == items


async def test_streams_of_a_client_catch_up_one_at_a_time_and_what_happens_now_does_not_wait(
    app: Litestar, ada: Person
) -> None:
    start = (await ada.get("/changes")).json()["cursor"]
    missed = await ada.task("missed")
    edge = app.asgi_handler
    assert isinstance(edge, Edge)
    turn = edge._places.streams.catching_up(Origin("127.0.0.1"))
    await turn.acquire()  # as another stream of the client
    async with (
        streaming(app, ada, query=f"cursor={start}") as late,
        streaming(app, ada) as live,
    ):
        await late.start()
        await late.message()
        await live.start()
        await live.event()
        task = await ada.task("now")
        assert (await live.change())["task"] == task
        assert late.messages.empty()
        turn.release()
        assert (await late.change())["task"] == missed


async def test_cursors_that_are_none_are_refused_before_it_begins(ada: Person, bob: Person) -> None:
    other = (await bob.get("/changes")).json()["cursor"]
    for cursor in ("x", other):
        for answer, where in (
            (await ada.get(f"/changes/stream?cursor={cursor}"), "cursor"),
            (await ada.get("/changes/stream", last_event_id=cursor), "Last-Event-ID"),
        ):
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["parameter"] == where


async def test_a_stream_ends_with_the_session(app: Litestar, ada: Person) -> None:
    async with streaming(app, ada) as stream:
        await stream.start()
        await stream.event()
        await ada.post("/auth/logout")
        assert await stream.event() is None


async def test_streams_take_no_place_of_requests_and_are_few(app: Litestar, ada: Person) -> None:
    edge = app.asgi_handler
    assert isinstance(edge, Edge)
    async with AsyncExitStack() as stack:
        for _ in range(PER_USER):
            stream = await stack.enter_async_context(streaming(app, ada))
            await stream.start()
            await stream.event()
        assert edge._places.are_free
        answer = await ada.get("/changes/stream")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert edge._places.are_free
    assert followers(app) == {}


async def test_a_network_has_so_many_streams_whatever_its_accounts(
    app: Litestar, ada: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskapi.capacity.PER_CLIENT", 2)
    async with AsyncExitStack() as stack:
        for person in (ada, bob):
            stream = await stack.enter_async_context(streaming(app, person))
            await stream.start()
        async with streaming(app, ada) as refused:
            assert (await refused.start())[0] == 429
            await refused.message()
        for elsewhere in ("192.0.2.1", None, None, None):  # no address: no limit
            stream = await stack.enter_async_context(streaming(app, ada, client=elsewhere))
            assert (await stream.start())[0] == 200
    async with streaming(app, ada) as stream:
        assert (await stream.start())[0] == 200
    assert followers(app) == {}


async def test_networks_of_one_site_share_its_streams(
    app: Litestar, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskapi.capacity._PER_SITE", 1)
    async with streaming(app, ada, client="2001:db8::1") as first:
        await first.start()
        for client, status in (("2001:db8:0:1::1", 429), ("2001:db8:1::1", 200)):
            async with streaming(app, ada, client=client) as stream:
                assert (await stream.start())[0] == status
                await stream.message()


async def test_a_stream_whose_body_does_not_arrive_is_refused(
    app: Litestar, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskapi.exchange._DISCARDED_WITHIN", 0.01)
    edge = app.asgi_handler
    assert isinstance(edge, Edge)
    async with streaming(app, ada, content_length="5") as stream:
        stream.has_asked = True  # what it receives next is that its client has gone
        status, headers = await stream.start()
        assert (status, headers["connection"]) == (400, "close")
        await stream.message()
    assert edge._places.are_free
    assert followers(app) == {}
    async with streaming(app, ada, content_length="5") as stream:  # it arrives
        assert (await stream.start())[0] == 200
        assert edge._places.are_free
        await stream.event()
        task = await ada.task("x")
        assert (await stream.change())["task"] == task


async def test_head_is_answered_at_once(app: Litestar, ada: Person) -> None:
    async with streaming(app, ada, method="HEAD") as stream:
        status, headers = await stream.start()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert await stream.event() is None


def followers(app: Litestar) -> object:
    return app.state.core.changes.followers._of
