"""What takes time with the length of a request is bounded before it begins."""

import asyncio
import gc
import re
import weakref
from dataclasses import replace
from typing import Any, NoReturn

import httpx
import pytest
from litestar import Litestar
from litestar.types import Receive, Scope, Send

from taskapi import bulk, compression, etags, idempotency, proxies, query_limits
from taskapi.body_limits import LARGEST_BODY
from taskcore.domain.idempotency import MAX_KEY
from tests.api.people import Person


class Query(bytes):
    """Refuses to be split."""

    def split(self, *_: object) -> NoReturn:
        raise AssertionError(f"{len(self)} bytes are split")


@pytest.mark.parametrize("content", [b"&" * 64_000, b"%00&" * 16_000, b"%FF" * 20_000])
def test_of_a_query_that_is_too_long_only_the_beginning_is_read(content: bytes) -> None:
    """The parts of all of it took 20 ms of the event loop before."""
    refusal = query_limits.query_refusal(Query(content))
    assert refusal is not None
    assert [error.code for error in refusal.errors or ()] == ["too_long"]


def test_what_a_condition_costs_is_bounded_by_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty ones count: 15 000 commas took 10 ms before."""
    tried: list[int] = []

    class Pattern:
        def match(self, header: str, place: int) -> re.Match[str] | None:
            tried.append(place)
            return item.match(header, place)

    item = etags._ITEM
    monkeypatch.setattr(etags, "_ITEM", Pattern())
    assert not etags.matches("," * 15_000, '"1"')
    assert len(tried) == etags._MOST_ITEMS


def test_of_forwarded_addresses_only_the_last_are_read() -> None:
    """60 000 commas took 3 ms before, those of a client that is no proxy too."""
    commas: Any = {"headers": [(b"x-forwarded-for", b"," * 60_000)], "scheme": "http"}
    assert proxies._last(commas, b"x-forwarded-for", 16) == [""] * 16
    unread = Query(b"192.0.2.1," * 6_000)
    stranger: Any = {"headers": [(b"x-forwarded-for", unread)], "scheme": "http"}
    assert proxies.Proxies([]).client("192.0.2.9", stranger) == ("192.0.2.9", False)


def test_of_accepted_codings_only_the_first_are_read() -> None:
    """16 000 commas took 3 ms before."""
    assert compression.accepts_gzip("br, gzip")
    assert not compression.accepts_gzip("," * 16_000 + "gzip")


def test_a_key_that_is_too_long_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """To take the quotes off 16 KB took 7 ms before."""
    longest = '"' + r"\"" * MAX_KEY + '"'
    assert idempotency._unquoted(longest) == '"' * MAX_KEY
    monkeypatch.setattr(idempotency, "_QUOTED", None)
    assert not idempotency._unquoted(longest.replace("\\", "\\\\"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            b'{"operations":[' + b",".join([b'{"op":"delete","id":1}'] * 40_000) + b"]}",
            "out_of_range",
        ),
        (b'{"operations":[' + b",".join([b"[]"] * 300_000) + b"]}", "wrong_type"),
    ],
)
async def test_of_a_bulk_that_is_too_long_no_operation_is_made(
    ada: Person, monkeypatch: pytest.MonkeyPatch, body: bytes, code: str
) -> None:
    """45 000 of them took the event loop for 110 ms before."""

    def made(_: object) -> NoReturn:
        raise AssertionError("an operation is made")

    monkeypatch.setattr(bulk.DeleteOperation, "operation", made)
    answer = await ada.ask("POST", "/tasks/bulk", content=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == code


class Received:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __call__(self) -> Any:
        return await self._receive()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/tasks", None, 200),
        ("POST", "/tasks", b'{"title": "x"}', 201),
        ("POST", "/tasks", b'{"title": 1}', 422),
        ("POST", "/tasks", b"{", 400),
        ("POST", "/tasks", b" " * (LARGEST_BODY + 1), 413),
        ("PUT", "/tasks/1", b'{"title": "x"}', 404),
        ("DELETE", "/nowhere", b"x" * 9, 404),
        ("OPTIONS", "/tasks", None, 204),
    ],
)
async def test_nothing_holds_a_request_that_is_answered(
    app: Litestar, ada: Person, method: str, path: str, body: bytes | None, status: int
) -> None:
    """Else its body, and a connection that waits for it, stay until the garbage collector runs."""
    held: list[weakref.ref[Received]] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        received = Received(receive)
        held.append(weakref.ref(received))
        await app(dict(scope), received, send)  # type: ignore[arg-type]

    transport = httpx.ASGITransport(watched)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:
        gc.disable()
        try:
            answer = await replace(ada, http=http).ask(method, path, content=body)
            assert answer.status_code == status
            for _ in range(3):  # a round of turns ends with the event loop's
                await asyncio.sleep(0)
            assert [reference() for reference in held] == [None]
        finally:
            gc.enable()
