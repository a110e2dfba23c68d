"""A real server answers any bytes with a 4xx and serves the next request.

These cases go through the HTTP server in front of the application, which handles some of them.
"""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.served import Reply, exchange
from tests.server.running import Api

HOST = b"Host: api.test\r\n"
JSON = b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
TASK = b'{"title":"x"}'
DEEP = 60_000


class Caller:
    """A client with a token, whose requests are written byte by byte."""

    def __init__(self, api: Api) -> None:
        self.port = api.port
        self.token = api.register("wire@example.org").encode()
        self.credentials = b"Authorization: Bearer " + self.token + b"\r\n"

    def head(self, line: bytes, *headers: bytes) -> bytes:
        return line + b" HTTP/1.1\r\n" + HOST + CLOSE + b"".join(headers) + b"\r\n"

    def get(self, target: bytes, *headers: bytes) -> bytes:
        return self.head(b"GET " + target, self.credentials, *headers)

    def post(self, body: bytes, *headers: bytes, length: int | None = None) -> bytes:
        size = b"Content-Length: %d\r\n" % (len(body) if length is None else length)
        return self.head(b"POST /api/v1/tasks", self.credentials, *headers or [JSON], size) + body

    def chunked(self, *chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
        head = self.head(
            b"POST /api/v1/tasks", self.credentials, JSON, b"Transfer-Encoding: chunked\r\n"
        )
        return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end

    def titles(self) -> list[str]:
        (answer,) = exchange(self.port, self.get(b"/api/v1/tasks"))
        assert answer.status == 200
        return [task["title"] for task in answer.json["items"]]


@pytest.fixture(scope="module")
def caller(served: Api) -> Caller:
    return Caller(served)


@pytest.fixture(autouse=True)
def _unharmed(served: Api, caller: Caller) -> Iterator[None]:
    """After each test the server answers, has its workers, and has found no fault in itself."""
    workers = served.workers
    titles = caller.titles()
    yield
    assert caller.titles() == titles
    assert served.workers == workers
    assert '"level":"error"' not in served.log
    assert "Traceback" not in served.log
    assert "panicked" not in served.log


BODIES: list[tuple[str, bytes, set[int]]] = [
    ("NUL, escaped", b'{"title":"a\\u0000b"}', {422}),
    ("NUL, raw", b'{"title":"a\x00b"}', {400}),
    ("bad UTF-8", b'{"title":"\xff"}', {400}),
    ("bad UTF-8 in a name", b'{"\xc3\x28":1}', {400}),
    ("UTF-16", '{"title":"x"}'.encode("utf-16"), {400}),
    ("a lone surrogate", b'{"title":"\\ud800"}', {400}),
    ("a surrogate in UTF-8", b'{"title":"\xed\xa0\x80"}', {400}),
    ("nested arrays", b"[" * DEEP, {400}),
    ("nested arrays, closed", b"[" * 30_000 + b"]" * 30_000, {400}),
    ("nested in an unknown field", b'{"title":"x","y":' + b"[" * DEEP + b"}", {400}),
    ("nested objects", b'{"a":' * 12_000, {400}),
    ("a huge number", b'{"title":' + b"9" * 5000 + b"}", {400, 422}),
    ("2**63", b'{"title":9223372036854775808}', {422}),
    ("beyond any float", b'{"title":1e400}', {400, 422}),
    ("NaN", b'{"title":NaN}', {400}),
    ("infinite", b'{"title":-Infinity}', {400}),
    ("nothing", b"", {422}),
    ("a space", b" ", {400}),
    ("null", b"null", {422}),
    ("an array", b"[]", {422}),
    ("a text", b'"title"', {422}),
    ("truncated JSON", b'{"title":"x', {400}),
    ("truncated behind a wrong field", b'{"title":1,', {400}),
    ("bad UTF-8 behind a wrong field", b'{"title":1,"x":"\xff"}', {400}),
    ("something after it", TASK + b" x", {400}),
    ("two documents", TASK + TASK, {400}),
    ("single quotes", b"{'title':'x'}", {400}),
    ("a comment", b'{"title":"x"} // no', {400}),
    ("a comma too many", b'{"title":"x",}', {400}),
    ("a byte order mark", b"\xef\xbb\xbf" + TASK, {400}),
    ("a form", b"title=x", {400}),
]


@pytest.mark.parametrize(("body", "statuses"), [case[1:] for case in BODIES],
                         ids=[case[0] for case in BODIES])  # fmt: skip
def test_a_body_that_is_not_what_it_should_be(
    caller: Caller, body: bytes, statuses: set[int]
) -> None:
    for request in (caller.post(body), caller.chunked(*([body] if body else []))):
        (answer,) = exchange(caller.port, request)
        assert answer.status in statuses
        problem(answer)


def test_a_body_that_is_too_large(caller: Caller) -> None:
    large = b'{"title":"' + b"x" * 70_000 + b'"}'
    for request in (
        caller.post(large),
        caller.post(b'{"title":"' + b"x" * 1_000_000 + b'"}'),
        caller.post(b'{"title":"', length=11 * 2**20),
        caller.post(b'{"title":"', length=2**63),
        caller.chunked(*[b"x" * 8192] * 9),
        caller.chunked(large),
        caller.chunked(*[b"x" * 150] * 440),
    ):
        (answer,) = exchange(caller.port, request)
        assert answer.status == 413
        assert problem(answer)["code"] == "body_too_large"


def test_a_body_that_ends_before_its_end(caller: Caller) -> None:
    for request in (
        caller.post(TASK, length=len(TASK) + 9),
        caller.chunked(TASK, end=b""),
        caller.chunked(end=b"20\r\n{"),
    ):
        for answer in exchange(caller.port, request, then_hang_up=True):
            assert answer.status == 400


def test_a_client_that_goes_away_is_no_fault_of_ours(caller: Caller) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", caller.port)) as connection:
            connection.sendall(caller.post(TASK, length=5000))


def test_a_body_in_bad_chunks(caller: Caller) -> None:
    for end in (
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-1\r\n{}\r\n",
        b"fffffffffffffffff\r\n",
        b"2\r\n{}xx0\r\n",
    ):
        for answer in exchange(caller.port, caller.chunked(end=end)):
            assert answer.status == 400


def test_a_body_whose_length_is_told_in_two_ways(caller: Caller) -> None:
    for lengths in (
        b"Content-Length: 13\r\nContent-Length: 14\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: +13\r\n",
        b"Content-Length: 13, 14\r\n",
        b"Content-Length: 1e1\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
    ):
        request = caller.head(b"POST /api/v1/tasks", caller.credentials, JSON, lengths) + TASK
        (answer,) = exchange(caller.port, request)
        assert answer.status == 400, lengths


@pytest.mark.parametrize(
    "coding",
    ["gzip, chunked", "chunked, chunked", "identity, chunked", "x\r\nTransfer-Encoding: chunked"],
)
def test_a_transfer_coding_that_is_not_understood(caller: Caller, coding: str) -> None:
    """RFC 9112 section 6.1."""
    coded = caller.chunked(TASK).replace(b"Encoding: chunked", b"Encoding: " + coding.encode())
    (answer,) = exchange(caller.port, coded)
    assert (answer.status, answer.json["code"]) == (501, "unsupported_transfer_encoding")


def test_a_refused_body_is_never_read_as_the_next_request(caller: Caller) -> None:
    inner = b"DELETE /api/v1/tasks/1 HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"
    for head, size in (
        (b"POST /api/v1/nowhere", len(inner)),
        (b"POST /api/v1/tasks", len(inner)),
        (b"POST /api/v1/tasks", 70_000),
        (b"GET /livez", len(inner)),
    ):
        length = b"Content-Length: %d\r\n" % size
        request = head + b" HTTP/1.1\r\n" + HOST + JSON + length + b"\r\n" + inner
        answers = exchange(caller.port, request, then_hang_up=True)
        assert len(answers) <= 1


V1 = b"/api/v1"
TARGETS = {
    404: [
        *(b"livez", b"//api/v1/tasks", b"/api/v1//tasks", V1 + b"/tasks/../users"),
        *(V1 + b"/tasks" + rest for rest in (b"\\1", b";x=1")),
        *(V1 + b"/docs/assets/" + name for name in (b"..%2f..%2f__init__.py", b"%2e%2e")),
        *(
            V1 + b"/tasks/" + spelling
            for spelling in (
                *(b"%ff", b"%zz", b"%", b"%00", b"%2f", b"%2F..%2Fusers", b"%EF%BC%95", b"+5"),
                *(b"%205", b"05", b"5_0", b"-1", b"1%0d%0aX-Evil:1"),
                *(b"9223372036854775808", b"9" * 5000),
            )
        ),
    ],
    422: [
        *(V1 + b"/tasks?q=a%00b", V1 + b"/tasks?%00"),
        *(
            V1 + b"/tasks?skip=" + value
            for value in (
                *(
                    b"-1",
                    b"10001",
                    b"2147483648",
                    b"9223372036854775808",
                    b"9" * 5000,
                    b"%00",
                    b"%zz",
                ),
                *(b"1e1", b"NaN", b"%2B1", b""),
            )
        ),
    ],
    200: [b"/livez?", b"http://elsewhere.test/livez"],
    400: [
        V1 + b"/tasks?q=\x00",
        V1 + b"/tasks?q=%ff%feword",
        V1 + b"/tasks?skip=%ff",
        V1 + b"/tasks/\xff",
        b"",
        b"/api v1",
    ],
}


@pytest.mark.parametrize("status", TARGETS)
def test_a_malformed_target_is_refused(caller: Caller, status: int) -> None:
    for target in TARGETS[status]:
        (answer,) = exchange(caller.port, caller.get(target))
        assert answer.status == status, target
        if status in {404, 422}:
            problem(answer)


def test_a_malformed_header_is_refused(caller: Caller) -> None:
    for header, statuses in (
        (caller.credentials, {400}),
        (b"Authorization: Basic eDp5\r\n", {400}),
        (b"X-Filling: " + b"x" * 20_000 + b"\r\n", {431}),
        (b"X-Filling: " + b"x" * 70_000 + b"\r\n", {431}),
        (b"X: 1\r\n" * 300, {431}),
        (b"Host: other.test\r\n", {400}),
        (b"X-Bad\r\n", {400}),
        (b"X Bad: 1\r\n", {400}),
        (b"X-Bad: a\x00b\r\n", {400}),
        (b": 1\r\n", {400}),
    ):
        (answer,) = exchange(caller.port, caller.get(b"/api/v1/tasks", header))
        assert answer.status in statuses, header[:80]


def test_odd_bytes_in_headers_that_we_read(caller: Caller) -> None:
    for header, status in (
        (b"X-Request-Id: a\xff\r\n", 200),
        (b"X-Request-Id: a\r\nX-Request-Id: b c\r\n", 200),
        (b"Origin: \xff\r\n", 200),
        (b"Cookie: \xff=\xfe; ;;=\r\n", 200),
        (b"Accept: \xff\r\n", 200),
        (b"If-None-Match: \xff\r\n", 200),
        (b"Range: bytes=0-0\r\n", 200),
        (b"X-HTTP-Method-Override: DELETE\r\n", 200),
        (b"X-Forwarded-For: \xff, 1\r\n", 200),
    ):
        (answer,) = exchange(caller.port, caller.get(b"/api/v1/tasks", header))
        assert answer.status == status, header
        assert answer.headers["x-request-id"].isascii()
    (answer,) = exchange(
        caller.port, caller.head(b"GET /api/v1/tasks", b"Authorization: Bearer \xff\xfe\r\n")
    )
    assert (answer.status, answer.json["code"]) == (401, "invalid_token")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/9\r\nHost: x\r\n\r\n",
        b"GET  /livez  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\xffT /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_get_400(caller: Caller, sent: bytes) -> None:
    (answer,) = exchange(caller.port, sent)
    assert answer.status == 400


def test_unknown_methods_are_refused(caller: Caller) -> None:
    for method in (b"TRACE", b"BREW", b"get", b"CONNECT", b"PROBE", b"M-SEARCH"):
        (answer,) = exchange(caller.port, caller.head(method + b" /api/v1/tasks"))
        assert answer.status == 405, method
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        problem(answer)


def test_a_head_and_what_follows_it_are_told_apart(caller: Caller) -> None:
    head = b"HEAD /api/v1/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
    with socket.create_connection(("127.0.0.1", caller.port), timeout=8) as connection:
        connection.sendall(head + caller.head(b"GET /livez"))
        received = b""
        while found := connection.recv(65536):
            received += found
    first, second, body = received.split(b"\r\n\r\n")
    assert b"content-length: " in first.lower()
    assert second.startswith(b"HTTP/1.1 200")
    assert json.loads(body) == {"status": "ok"}


def test_an_old_client_is_served(caller: Caller) -> None:
    (answer,) = exchange(caller.port, b"GET /livez HTTP/1.0\r\n\r\n")
    assert answer.status == 200


def test_a_client_that_waits_before_it_sends(caller: Caller) -> None:
    (answer,) = exchange(
        caller.port, caller.post(b'{"title":""}', JSON, b"Expect: 100-continue\r\n")
    )
    assert answer.status == 422


def test_many_bad_requests_at_once(caller: Caller) -> None:
    bad = [caller.post(body) for _, body, _ in BODIES] * 4
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda sent: exchange(caller.port, sent), bad))
    assert {answer.status for found in answers for answer in found} <= {400, 422}


def test_canaries_do_not_reach_the_log(served: Api, caller: Caller) -> None:
    token = served.register("canary-mail@example.org")
    secret = {"email": "canary-mail@example.org", "password": "canary-wrong"}
    assert served.call("POST", "/api/v1/auth/login", secret).status == 401
    refresh = {"refresh_token": "tcr_canary"}
    assert served.call("POST", "/api/v1/auth/refresh", refresh).status == 401
    assert (
        served.call("GET", "/api/v1/tasks?access_token=canary-query", token="canary-token").status
        == 401
    )
    assert served.call("GET", "/api/v1/canary-path/1").status == 404
    body = {"title": "canary-title\n\x1b[31m", "canary-field": 1}
    assert served.call("POST", "/api/v1/tasks", body, token=token).status == 422
    gone = {"password": "correct horse battery"}
    assert served.call("POST", "/api/v1/auth/delete-account", gone, token=token).status == 204
    served.wait_for_log("account.deleted")
    lines = [json.loads(line) for line in served.log.splitlines()]
    assert {"login.refused", "refresh.refused", "request"} <= {line["event"] for line in lines}
    for canary in ("canary", "correct horse", token, token.split(".")[2], caller.token.decode()):
        assert canary not in served.log


def problem(answer: Reply) -> dict[str, object]:
    """What every refusal of ours carries, also over the wire."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, object] = answer.json
    assert found["status"] == answer.status
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


def test_a_connection_goes_on_after_a_refusal_before_the_body(caller: Caller) -> None:
    head = b"POST /api/v1/tasks HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 13\r\n\r\n"
    with socket.create_connection(("127.0.0.1", caller.port), timeout=8) as connection:
        for _ in range(3):
            connection.sendall(head)
            time.sleep(0.02)  # for the server to see the head alone
            connection.sendall(TASK)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 401")
            assert b"connection: close" not in answer


def test_a_client_that_never_sends_the_rest_is_refused_and_disconnected(caller: Caller) -> None:
    head = b"POST /api/v1/tasks HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 13\r\n\r\n"
    (answer,) = exchange(caller.port, head + b"{")
    assert answer.status == 401
    assert answer.headers["connection"] == "close"
