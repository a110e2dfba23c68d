"""How many requests are served at a time and in which order, seen by clients that send many."""

import asyncio
import time
from typing import Any

import pytest
from litestar.types import Receive, Scope, Send

from taskapi.client_connections import PER_CLIENT
from taskapi.edge import Edge
from taskapi.problems import HttpProblem, send_problem
from taskapi.turns import WIDTH, WIDTH_ALONE
from tests.api.conftest import SETTINGS
from tests.conftest import until

pytestmark = pytest.mark.anyio

LIMIT = 2
A_QUICK_MACHINE = 3600  # seconds that the event loop may be late


@pytest.fixture(autouse=True)
def quick_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is that tests."""
    monkeypatch.setattr("taskapi.adaptive_limit.LATE", A_QUICK_MACHINE)


WAITING = 4 * LIMIT
END = {"type": "http.request", "body": b"}", "more_body": False}
CUT = {"type": "http.request", "body": b"", "more_body": True}


class Client:
    """Sends one request over ASGI, with a body if it is given one."""

    def __init__(self, edge: Edge, address: str) -> None:
        self.parts: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self._edge, self._address = edge, address

    def begin(
        self, *headers: tuple[bytes, bytes], path: str = "/x", port: int = 1
    ) -> "asyncio.Task[int]":
        return asyncio.create_task(self._send(path, port, [(b"host", b"x"), *headers]))

    async def _send(self, path: str, port: int, headers: list[tuple[bytes, bytes]]) -> int:
        scope: Any = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "state": {},
            "client": (self._address, port),
            "headers": headers,
        }

        async def send(message: Any) -> None:
            self.sent.append(message)

        await self._edge(scope, self.parts.get, send)
        return int(self.sent[0]["status"])


class Site:
    """An application that reads bodies, and answers when the test says so."""

    def __init__(self, in_flight: int) -> None:
        self.edge = Edge(self._serve, SETTINGS, in_flight=in_flight)
        self.answers = asyncio.Event()
        self.users: list[bytes] = []  # as begun, by what they authenticate with
        self.begun: list[str] = []  # the client of each request that has its turn, in this order

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["client"][0])  # type: ignore[index]
        self.users += [value for name, value in scope["headers"] if name == b"authorization"]
        try:
            if any(name == b"content-length" for name, _ in scope["headers"]):
                while (await receive()).get("more_body"):
                    pass
        except HttpProblem as problem:
            await send_problem(scope, send, problem)
        else:
            await self.answers.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

    def client(self, address: str) -> Client:
        return Client(self.edge, address)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


BODY = (b"content-length", b"2")


async def test_one_client_cannot_have_all_places() -> None:
    site = Site(in_flight=2 * PER_CLIENT)
    for stranger, neighbour in (("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::2")):
        site.answers.clear()
        begun = [site.client(stranger).begin() for _ in range(PER_CLIENT)]
        await turns()
        assert await site.client(neighbour).begin() == 503
        other = site.client("198.51.100.1").begin()
        site.answers.set()
        assert await other == 200
        assert set(await asyncio.gather(*begun)) == {200}
        assert await site.client(neighbour).begin() == 200


async def test_many_networks_of_one_site_cannot_have_all_places() -> None:
    site = Site(in_flight=2 * PER_CLIENT)
    begun = [site.client(f"2001:db8:0:{number:x}::1").begin() for number in range(192)]
    await turns()
    assert await site.client("2001:db8:0:ffff::1").begin() == 503
    other = site.client("2001:db8:1::1").begin()
    site.answers.set()
    assert set(await asyncio.gather(*begun, other)) == {200}


async def test_a_request_that_waits_for_its_body_holds_no_place() -> None:
    site = Site(LIMIT)
    slow = [site.client(f"192.0.2.{number}") for number in range(WAITING)]
    begun = []
    for client in slow:
        begun.append(client.begin(BODY))
        await turns()
    others = [site.client("198.51.100.1").begin() for _ in range(LIMIT)]
    await turns()
    assert await site.client("198.51.100.1").begin() == 503  # the others have the places
    site.answers.set()
    assert await asyncio.gather(*others) == [200, 200]
    for client in slow:
        client.parts.put_nowait(CUT)
        client.parts.put_nowait(END)
    assert await asyncio.gather(*begun) == [200] * WAITING


async def test_a_health_check_that_waits_for_its_body_gives_no_place_to_another() -> None:
    site = Site(LIMIT)
    check = site.client("192.0.2.1")
    begun = [check.begin(BODY, path="/readyz")]
    await turns()
    begun += [site.client("198.51.100.1").begin() for _ in range(LIMIT)]
    await turns()
    late = site.client("198.51.100.1").begin()
    await turns()
    check.parts.put_nowait(END)
    site.answers.set()
    assert await asyncio.gather(*begun, late) == [200] * (1 + LIMIT) + [503]


async def test_only_so_many_requests_wait_for_their_bodies() -> None:
    site = Site(LIMIT)
    begun = []
    for number in range(WAITING):
        begun.append(site.client(f"192.0.2.{number}").begin(BODY))
        await turns()
    late = site.client("198.51.100.1")
    assert await late.begin(BODY) == 503
    assert (b"connection", b"close") in late.sent[0]["headers"]
    for request in begun:
        request.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    site.answers.set()
    ready = site.client("198.51.100.1")
    ready.parts.put_nowait(END)
    assert await ready.begin(BODY) == 200


async def test_a_body_that_arrives_when_all_places_are_taken_is_refused() -> None:
    site = Site(LIMIT)
    slow = site.client("192.0.2.1")
    begun = slow.begin(BODY)
    await turns()
    others = [site.client("198.51.100.1").begin() for _ in range(LIMIT)]
    await turns()
    slow.parts.put_nowait(END)
    assert await begun == 503
    assert (b"connection", b"close") not in slow.sent[0]["headers"]
    site.answers.set()
    assert await asyncio.gather(*others) == [200, 200]


async def test_health_checks_take_no_place_and_need_none() -> None:
    site = Site(in_flight=LIMIT)
    checks = [site.client("192.0.2.1").begin(path="/readyz") for _ in range(3 * LIMIT)]
    others = [site.client("192.0.2.2").begin() for _ in range(LIMIT)]
    checks += [site.client("192.0.2.1").begin(path="/livez") for _ in range(LIMIT)]
    await asyncio.sleep(0)
    site.answers.set()
    assert {await answer for answer in checks + others} == {200}


async def test_a_storm_of_connections_is_refused_before_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskapi.capacity._WINDOW", 3600)  # however slow the machine is
    site = Site(in_flight=1000)
    site.answers.set()
    stranger = [site.client("192.0.2.1") for _ in range(PER_CLIENT + 5)]
    answers = [await client.begin(port=10_000 + number) for number, client in enumerate(stranger)]
    assert answers == [200] * PER_CLIENT + [503] * 5
    assert (b"connection", b"close") in stranger[-1].sent[0]["headers"]
    assert await site.client("192.0.2.1").begin(port=10_000) == 503
    assert await site.client("192.0.2.2").begin(port=10_000) == 200


async def test_an_overloaded_server_waits_for_no_body_that_it_refuses() -> None:
    site = Site(in_flight=LIMIT)
    taken = [site.client("192.0.2.1").begin() for _ in range(LIMIT)]
    await asyncio.sleep(0)
    refused = site.client("192.0.2.2")
    assert await refused.begin((b"content-length", b"9")) == 503  # none of it has arrived
    assert (b"connection", b"close") in refused.sent[0]["headers"]
    site.answers.set()
    assert {await answer for answer in taken} == {200}


STRANGER, OTHER_STRANGER, ADA, BOB = "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"
STUCK = (b"content-length", b"2")  # its body does not arrive


def send_many(site: Site, address: str, number: int) -> "list[asyncio.Task[int]]":
    return [site.client(address).begin() for _ in range(number)]


@pytest.fixture
def nothing_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is that tests."""
    monkeypatch.setattr("taskapi.turns.STUCK_AFTER", 3600)


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_a_request_waits_for_none_of_the_many_that_wait_of_another_client() -> None:
    site = Site(in_flight=256)
    many = send_many(site, STRANGER, 100)
    await turns()
    begun = [*many, *send_many(site, ADA, 1), *send_many(site, BOB, 1)]
    await turns()
    assert site.begun == [STRANGER] * WIDTH + [ADA, BOB]
    site.answers.set()
    assert set(await asyncio.gather(*begun)) == {200}
    assert len(site.begun) == len(begun)


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_a_client_that_is_alone_for_long_has_more_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskapi.turns.ALONE_AFTER", 0)
    site = Site(in_flight=256)
    begun = send_many(site, STRANGER, 100)
    await turns()
    assert site.begun == [STRANGER] * WIDTH_ALONE
    monkeypatch.setattr("taskapi.turns.ALONE_AFTER", 3600)
    begun += send_many(site, ADA, 1)
    await turns()
    assert site.begun == [STRANGER] * WIDTH_ALONE + [ADA]
    site.answers.set()
    assert set(await asyncio.gather(*begun)) == {200}


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_clients_take_turns_however_many_requests_they_have() -> None:
    site = Site(in_flight=256)
    begun = send_many(site, STRANGER, 100) + send_many(site, OTHER_STRANGER, 100)
    await turns()
    begun += send_many(site, ADA, 4)
    await turns()
    assert site.begun == [STRANGER] * WIDTH + [OTHER_STRANGER, ADA]
    site.answers.set()
    assert set(await asyncio.gather(*begun)) == {200}
    last = max(number for number, client in enumerate(site.begun) if client == ADA)
    assert last < WIDTH + 2 + 2 * WIDTH  # the turns of one more round, which three clients share


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_users_behind_one_address_take_turns() -> None:
    site = Site(in_flight=256)
    ada, bob = (b"authorization", b"Bearer ada"), (b"authorization", b"Bearer bob")
    begun = [site.client(STRANGER).begin(ada) for _ in range(3 * WIDTH_ALONE)]
    await turns()
    colleague = site.client(STRANGER).begin(bob)
    await turns()
    site.users.clear()
    site.answers.set()
    assert set(await asyncio.gather(colleague, *begun)) == {200}
    assert site.users.index(bob[1]) < 2


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_requests_that_never_wait_take_turns_too() -> None:
    """Such as those without a token: each is done when the event loop comes to the next."""
    site = Site(in_flight=256)
    site.answers.set()
    begun = send_many(site, STRANGER, 100) + send_many(site, ADA, 1)
    assert set(await asyncio.gather(*begun)) == {200}
    assert site.begun.index(ADA) == WIDTH


async def test_requests_that_take_long_pass_their_turns_on() -> None:
    site = Site(in_flight=256)
    begun = send_many(site, STRANGER, 2 * WIDTH)
    while len(site.begun) < len(begun):  # noqa: ASYNC110 - the timer is the event loop's
        await asyncio.sleep(0.001)
    site.answers.set()
    assert set(await asyncio.gather(*begun)) == {200}


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_a_request_that_waits_for_its_body_has_no_turn() -> None:
    site = Site(in_flight=256)
    slow = [site.client(STRANGER) for _ in range(2 * WIDTH)]
    begun = [client.begin(STUCK) for client in slow]
    await turns()
    assert len(site.begun) == len(slow)  # each began, and waits
    others = send_many(site, STRANGER, WIDTH)
    await turns()
    assert len(site.begun) == len(slow) + WIDTH
    for client in slow:
        client.parts.put_nowait(END)
    site.answers.set()
    assert set(await asyncio.gather(*begun, *others)) == {200}


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_the_wait_for_a_turn_is_no_delay_of_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskapi.exchange.ARRIVES_WITHIN", 0.3)
    site = Site(in_flight=256)
    slow = site.client(STRANGER)
    begun = [slow.begin(STUCK)]
    await turns()
    begun += send_many(site, STRANGER, WIDTH)
    await turns()
    slow.parts.put_nowait(CUT | {"body": b"x" * 65_536})
    await asyncio.sleep(0.35)  # all turns are taken, for longer than a body may take to arrive
    site.answers.set()
    await turns()
    slow.parts.put_nowait(END)
    assert set(await asyncio.gather(*begun)) == {200}


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_two_clients_cannot_have_all_places() -> None:
    site = Site(in_flight=2 * PER_CLIENT)
    begun = send_many(site, STRANGER, PER_CLIENT) + send_many(site, OTHER_STRANGER, PER_CLIENT)
    await turns()
    ada = site.client(ADA).begin()
    await turns()
    assert site.begun[-1] == ADA
    site.answers.set()
    assert await ada == 200
    statuses = await asyncio.gather(*begun)
    assert (statuses.count(200), statuses.count(503)) == (2 * PER_CLIENT - 1, 1)
    assert statuses[-1] == 503  # the last of the client of which most wait


async def displaces_one(
    hers: "asyncio.Task[int]", others: "list[asyncio.Task[int]]", site: Site
) -> None:
    """All are answered now: hers, and all others but one."""
    site.answers.set()
    assert await hers == 200
    statuses = await asyncio.gather(*others)
    assert (statuses.count(200), statuses.count(503)) == (len(others) - 1, 1)


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_a_request_whose_body_has_arrived_is_as_good_as_a_new_one() -> None:
    site = Site(in_flight=2 * PER_CLIENT)
    ada = site.client(ADA)
    hers = ada.begin(STUCK)
    await turns()
    begun = send_many(site, STRANGER, PER_CLIENT) + send_many(site, OTHER_STRANGER, PER_CLIENT)
    await turns()
    ada.parts.put_nowait(END)
    await turns()
    await displaces_one(hers, begun, site)


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_the_first_request_of_a_client_takes_the_place_of_the_second_of_another() -> None:
    site = Site(in_flight=2 * WIDTH)
    begun = [site.client(f"192.0.2.{number // 2}").begin() for number in range(2 * WIDTH)]
    await turns()
    ada = site.client(ADA).begin()
    await turns()
    await displaces_one(ada, begun, site)


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_the_networks_of_two_sites_cannot_have_all_places() -> None:
    site = Site(in_flight=256)
    begun = [site.client(f"2001:db8:{number % 2}:{number:x}::1").begin() for number in range(256)]
    await turns()
    ada = site.client(ADA).begin()
    await turns()
    await displaces_one(ada, begun, site)


async def test_clients_with_slow_bodies_leave_room_for_the_body_of_another() -> None:
    site = Site(LIMIT)
    slow = [site.client(f"2001:db8:0:{number:x}::1") for number in range(WAITING)]
    begun = []
    for client in slow:
        begun.append(client.begin(STUCK))
        await turns()
    ada = site.client(ADA)
    hers = ada.begin(STUCK)
    await turns()
    assert await begun[-1] == 503  # the latest of the client of which most wait
    assert (b"retry-after", b"1") in slow[-1].sent[0]["headers"]
    ada.parts.put_nowait(END)
    site.answers.set()
    assert await hers == 200
    for client in slow:
        client.parts.put_nowait(END)
    assert await asyncio.gather(*begun) == [200] * (WAITING - 1) + [503]
    assert site.edge._places._arrivals._of == {}


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_networks_of_one_site_share_what_begins_at_once() -> None:
    site = Site(in_flight=256)
    begun = [site.client(f"2001:db8:0:{number:x}::1").begin() for number in range(100)]
    await turns()
    assert len(site.begun) == WIDTH
    begun += [site.client(ADA).begin(), site.client("2001:db8:1::1").begin()]
    await turns()
    assert site.begun[WIDTH:] == [ADA, "2001:db8:1::1"]
    site.answers.set()
    assert set(await asyncio.gather(*begun)) == {200}


@pytest.mark.usefixtures("nothing_is_stuck")
async def test_a_request_that_is_cancelled_while_it_waits_leaves_nothing() -> None:
    site = Site(in_flight=256)
    begun = send_many(site, STRANGER, 3 * WIDTH)
    await turns()
    site.answers.set()  # turns are passed on in the moment in which their new holders are cancelled
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for request in begun[WIDTH:]:
        request.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
    await turns()
    held = site.edge._places.turns
    assert (held._at_work, held._waiting, held._of, held._number) == ({}, {}, {}, {})
    assert await site.client(STRANGER).begin() == 200


@pytest.mark.parametrize(("pieces", "status"), [(200, 200), (2000, 400)])
async def test_a_body_in_many_small_pieces_is_refused(pieces: int, status: int) -> None:
    site = Site(LIMIT)
    site.answers.set()
    client = site.client("192.0.2.1")
    for _ in range(pieces):
        client.parts.put_nowait({"type": "http.request", "body": b"x", "more_body": True})
    client.parts.put_nowait(END)
    assert await client.begin((b"content-length", b"%d" % (pieces + 1))) == status


async def test_the_pieces_of_a_body_are_read_together() -> None:
    read: list[int] = []

    async def serve(_: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message: Any = await receive()
            more = message["more_body"]
            read.append(len(message["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    client = Client(Edge(serve, SETTINGS, in_flight=LIMIT), "192.0.2.1")
    for _ in range(100):
        client.parts.put_nowait({"type": "http.request", "body": b"x" * 1000, "more_body": True})
    client.parts.put_nowait(END)
    assert await client.begin((b"content-length", b"100001")) == 200
    assert read == [66_000, 34_001]


async def test_a_machine_that_is_too_slow_holds_fewer_requests_until_it_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its event loop is late. What waits for a turn beyond the limit is refused at once."""
    site = Site(in_flight=256)
    begun = send_many(site, STRANGER, 100)
    monkeypatch.setattr("taskapi.adaptive_limit.LATE", 0.1)
    monkeypatch.setattr("taskapi.adaptive_limit.LEAST", 32)
    for _ in range(3):
        await asyncio.sleep(0.001)
        time.sleep(0.2)  # noqa: ASYNC251 - what a busy processor does
        await asyncio.sleep(0.001)
    late = send_many(site, ADA, 100)
    await turns()
    refused = [request for request in [*begun, *late] if request.done()]
    assert {request.result() for request in refused} == {503}
    assert len(refused) > 100
    assert len(begun) + len(late) - len(refused) >= 32
    site.answers.set()
    await asyncio.gather(*begun, *late)
    monkeypatch.setattr("taskapi.adaptive_limit.LATE", A_QUICK_MACHINE)
    await until(lambda: site.edge.measures()["requests_at_most"] == 256, seconds=60)
    assert set(await asyncio.gather(*send_many(site, STRANGER, 100))) == {200}
