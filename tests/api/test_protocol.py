"""HTTP itself: methods, media types, credentials, origins, headers, request ids."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest
from litestar import Litestar

import taskapi.exchange
from taskapi.request_state import MAX_HEADER_BYTES
from tests.api.conftest import opened
from tests.api.people import MISSING_ID, V1, Person, alike, broken, refused
from tests.canaries import LISTENER

# On one store only: none of this depends on the store.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store", ["memory"], indirect=True),
]


# Every resource, and what its Allow says.
RESOURCES = {
    "/auth/register": "OPTIONS, POST",
    "/auth/login": "OPTIONS, POST",
    "/auth/refresh": "OPTIONS, POST",
    "/auth/me": "GET, HEAD, OPTIONS, PATCH",
    "/auth/delete-account": "OPTIONS, POST",
    "/auth/password": "OPTIONS, POST",
    "/auth/logout": "OPTIONS, POST",
    "/auth/logout-all": "OPTIONS, POST",
    "/auth/sessions": "GET, HEAD, OPTIONS",
    "/auth/sessions/x": "DELETE, OPTIONS",
    "/auth/events": "GET, HEAD, OPTIONS",
    "/tasks": "GET, HEAD, OPTIONS, POST",
    "/tasks/1": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    "/users": "GET, HEAD, OPTIONS, POST",
    "/users/1": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/users/1/sessions": "DELETE, OPTIONS",
    "/audit": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/redoc": "GET, HEAD, OPTIONS",
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"]
READS = [
    "/auth/me",
    "/tasks",
    "/tasks?limit=1",
    "/tasks?limit=x",
    "/tasks/{task}",
    f"/tasks/{MISSING_ID}",
    "/users",
    "/users/{root}",
    "/nowhere",
    "/openapi.json",
    "/docs",
    "/redoc",
]


async def test_options_lists_the_methods(anonymous: Person) -> None:
    for path, allow in RESOURCES.items():
        answer = await anonymous.ask("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (204, allow), path
    for path in ("/livez", "/readyz"):
        answer = await anonymous.http.options(path)
        assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_a_method_that_a_resource_lacks_is_refused(anonymous: Person, root: Person) -> None:
    for path, allow in RESOURCES.items():
        for method in set(METHODS) - set(allow.split(", ")):
            for person in (anonymous, root):
                answer = await person.ask(method, path)
                refused_head = method == "HEAD" and answer.status_code == 405
                assert refused_head or refused(answer, 405, "method_not_allowed")
                assert answer.headers["allow"] == allow


NOWHERE = [
    *("", "/", "/nowhere", "/tasks/1/2", "/auth", "/TASKS", "//tasks", "/tasks//", "/tasks//1"),
    *("/%2e%2e/users", "/tasks/%2F", "/users/%2f/", "/tasks/1%2F", "%2ftasks", "/users%2F1"),
]


async def test_an_unknown_path_is_not_found(anonymous: Person) -> None:
    for path in NOWHERE:
        for method in ("GET", "POST", "DELETE"):
            refused(await anonymous.ask(method, path), 404, "not_found")
        assert (await anonymous.ask("OPTIONS", path)).status_code == 404, path
    refused(await anonymous.get("/docs/assets/x"), 404, "not_found")
    for url in ("/api", "/api/v2/tasks", "/schema", "/metrics", "/favicon.ico", "/%00"):
        refused(await anonymous.http.get(url), 404, "not_found")


async def test_the_root_leads_to_the_documentation(anonymous: Person) -> None:
    """Relative to it, so that it holds behind a prefix that a proxy strips."""
    answer = await anonymous.http.get("/?from=search")
    assert answer.status_code == 307
    assert answer.headers["location"] == "api/v1/docs"
    followed = await anonymous.http.get(answer.headers["location"])
    assert followed.headers["content-type"].startswith("text/html")


async def test_head_answers_as_get_does_without_the_body(root: Person) -> None:
    task = await root.task()
    for template in READS:
        path = template.format(task=task["id"], root=root.id)
        get, head = await root.get(path), await root.ask("HEAD", path)
        assert head.status_code == get.status_code
        assert head.content == b""
        own = {"x-request-id"}
        assert {n: v for n, v in head.headers.items() if n not in own} == {
            n: v for n, v in get.headers.items() if n not in own
        }


async def test_head_is_refused_as_get_is(anonymous: Person, root: Person) -> None:
    assert (await anonymous.ask("HEAD", "/tasks")).status_code == 401
    tag = {"If-None-Match": "*"}
    path = f"/tasks/{(await root.task())['id']}"
    assert (await root.ask("HEAD", path, headers=tag)).status_code == 304


async def test_livez_and_readyz_are_ok(anonymous: Person) -> None:
    for path in ("/livez", "/readyz"):
        answer = await anonymous.http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_slash_at_the_end_makes_no_difference(ada: Person) -> None:
    task = await ada.task()
    assert (await ada.get("/tasks/")).json()["items"] == [task]
    assert (await ada.get(f"/tasks/{task['id']}/")).json() == task


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "application/json-patch+json",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; boundary=x",
        "application/json, text/plain",
        "application/msgpack",
        "json",
        "*/*",
    ],
)
async def test_a_body_that_is_not_json_is_refused(ada: Person, media_type: str | None) -> None:
    for method, path in (
        ("POST", "/tasks"),
        ("PATCH", "/auth/me"),
        ("PUT", f"/tasks/{MISSING_ID}"),
    ):
        request = ada.http.build_request(
            method,
            V1 + path,
            content=b'{"title":"x"}',
            headers={"Authorization": f"Bearer {ada.token}"}
            | ({} if media_type is None else {"Content-Type": media_type}),
        )
        answer = await ada.http.send(request)
        refused(answer, 415, "unsupported_media_type")
        assert answer.headers["accept"] == "application/json"
    assert await ada.titles() == []


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json; charset="UTF-8"',
        "application/json ; charset=utf8",
        "application/json;",
        "application/json ; ; charset=utf-8 ;\t",
    ],
)
async def test_spellings_of_the_json_media_type_are_accepted(ada: Person, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    answer = await ada.ask("POST", "/tasks", {"title": "x"}, headers=headers)
    assert answer.status_code == 201


async def test_two_content_types_are_refused(ada: Person) -> None:
    answer = await ada.http.post(
        f"{V1}/tasks",
        content=b'{"title":"x"}',
        headers=[
            ("Authorization", f"Bearer {ada.token}"),
            ("Content-Type", "application/json"),
            ("Content-Type", "text/plain"),
        ],
    )
    refused(answer, 415, "unsupported_media_type")


async def test_a_body_without_a_length_needs_its_media_type_too(ada: Person) -> None:
    # HTTP/2 allows a body without Content-Length.
    for media_type, status in ((None, 415), ("text/plain", 415), ("application/json", 201)):
        request = ada.http.build_request(
            "POST",
            f"{V1}/tasks",
            content=b'{"title":"x"}',
            headers={"Authorization": f"Bearer {ada.token}"}
            | ({"Content-Type": media_type} if media_type else {}),
        )
        del request.headers["content-length"]
        assert (await ada.http.send(request)).status_code == status


async def test_a_body_that_does_not_arrive_times_out(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taskapi.exchange, "ARRIVES_WITHIN", 0.05)

    async def half() -> AsyncIterator[bytes]:
        yield b'{"title":'
        await asyncio.Event().wait()

    for path, token in (("/auth/login", ""), ("/tasks", ada.token)):
        answer = await ada.http.post(
            V1 + path,
            content=half(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        refused(answer, 400, "malformed_request")
    assert (await ada.get("/tasks")).status_code == 200


async def test_a_compressed_body_is_refused(ada: Person) -> None:
    for coding in ("gzip", "br", "x"):
        headers = {"Content-Encoding": coding}
        answer = await ada.ask("POST", "/tasks", {"title": "x"}, headers=headers)
        refused(answer, 415, "unsupported_media_type")
    answer = await ada.ask(
        "POST", "/tasks", {"title": "x"}, headers={"Content-Encoding": "identity"}
    )
    assert answer.status_code == 201


async def test_a_body_has_a_largest_size(ada: Person) -> None:
    for size, status in ((65_536, 422), (65_537, 413), (1_000_000, 413)):
        content = b'{"title":"' + b"x" * (size - 12) + b'"}'
        assert len(content) == size
        answer = await ada.ask("POST", "/tasks", content=content)
        assert answer.status_code == status
    refused(answer, 413, "body_too_large")


async def test_the_size_limit_holds_with_and_without_content_length(ada: Person) -> None:
    async def chunks() -> Any:
        for _ in range(70):
            yield b"x" * 1000

    headers = {"Authorization": f"Bearer {ada.token}", "Content-Type": "application/json"}
    answer = await ada.http.post(f"{V1}/tasks", content=chunks(), headers=headers)
    refused(answer, 413, "body_too_large")
    headers["Content-Length"] = str(11 * 2**20)
    answer = await ada.http.post(f"{V1}/tasks", content=b"{}", headers=headers)
    refused(answer, 413, "body_too_large")


async def test_headers_have_a_largest_size(anonymous: Person) -> None:
    for size, status in ((MAX_HEADER_BYTES - 500, 200), (MAX_HEADER_BYTES, 431), (20_000, 431)):
        answer = await anonymous.http.get("/livez", headers={"X-Filling": "x" * size})
        assert answer.status_code == status
    refused(answer, 431, "headers_too_large")


async def test_problems_of_one_code_share_a_title(ada: Person) -> None:
    """RFC 9457 section 3.1.4."""
    for code, paths in (
        ("not_found", ("/tasks/0", "/nothing", "/tasks//", "/tasks%2F1")),
        ("invalid", ("/tasks?skip=x", "/tasks?skip=%00", "/tasks?owner_id=0")),
    ):
        answers = [(await ada.get(path)).json() for path in paths]
        assert {answer["code"] for answer in answers} == {code}
        assert len({answer["title"] for answer in answers}) == 1


async def test_a_path_that_is_too_long_is_not_found(ada: Person) -> None:
    for size in (400, 60_000):
        refused(await ada.get("/tasks/" + "9" * size), 404, "not_found")
        refused(await ada.get("/tasks/" + "%F0%9F%98%80" * (size // 12)), 404, "not_found")


async def test_a_query_that_is_too_long_is_refused(ada: Person) -> None:
    longest = "cursor=" + "y" * (4096 - len("cursor="))
    assert broken(await ada.get(f"/tasks?{longest}"), "cursor")["code"] == "wrong_type"
    for query in ("x=1&limit=" + "9" * 4096, "limit=1&" * 512 + "limit=" + "1" * 10):
        answer = await ada.get(f"/tasks?{query}")
        refused(answer, 422, "invalid")
        (problem,) = answer.json()["errors"]
        assert (problem["parameter"], problem["code"]) == ("limit", "too_long")


async def test_queries_that_were_answered_take_little_memory(ada: Person) -> None:
    """Whatever parses a query may remember some, but not megabytes."""

    async def ask(queries: Iterable[int]) -> None:
        for first in queries:
            names = "&".join(f"{first:x}{number:x}" for number in range(700))
            refused(await ada.get(f"/tasks?limit=1&{names}"), 422, "invalid")

    tracemalloc.start()
    try:
        await ask(range(40))  # as many as are ever remembered, and some
        LISTENER.taken()  # the log of the tests
        before, _ = tracemalloc.get_traced_memory()
        await ask(range(40, 80))
        LISTENER.taken()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_500_000  # of which what the tests log takes one


async def test_a_request_needs_exactly_one_host(anonymous: Person) -> None:
    for hosts in ([], ["a", "b"], [""]):
        headers = [("Host", host) for host in hosts]
        request = httpx.Request("GET", "http://api.test/livez", headers=headers)
        if not hosts:
            del request.headers["host"]
        refused(await anonymous.http.send(request), 400, "malformed_request")


CHALLENGES: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "unauthenticated", None),
    ({"Authorization": ""}, "unauthenticated", None),
    ({"Authorization": "Basic dXNlcjpwYXNz"}, "unauthenticated", None),
    ({"Authorization": "Basic {token}"}, "unauthenticated", None),
    ({"Authorization": "{token}"}, "unauthenticated", None),
    ({"Authorization": "Token {token}"}, "unauthenticated", None),
    ({"Authorization": "Bearer:{token}"}, "unauthenticated", None),
    ({"Authorization": "Bearer\t{token}"}, "unauthenticated", None),
    ({"X-Access-Token": "{token}"}, "unauthenticated", None),
    ({"Cookie": "access_token={token}; session={token}"}, "unauthenticated", None),
    ({"Proxy-Authorization": "Bearer {token}"}, "unauthenticated", None),
    ({"Authorization": "Bearer"}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer "}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer {token} x"}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer {token}x"}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer {token}="}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer {token},Bearer {token}"}, "invalid_token", "invalid_token"),
    ({"Authorization": 'Bearer "{token}"'}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer a.b.c"}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer null"}, "invalid_token", "invalid_token"),
    ({"Authorization": "Bearer " + "x" * 10_000}, "invalid_token", "invalid_token"),
]


async def test_every_protected_operation_challenges_alike(ada: Person) -> None:
    for path, allow in RESOURCES.items():
        if path in {"/auth/register", "/auth/login", "/auth/refresh"} or path[1:] in {
            "openapi.json", "docs", "redoc",
        }:  # fmt: skip
            continue
        for method in set(allow.split(", ")) - {"OPTIONS"}:
            for headers, code, error in CHALLENGES:
                sent = {name: value.format(token=ada.token) for name, value in headers.items()}
                answer = await ada.http.request(method, V1 + path, headers=sent)
                assert answer.status_code == 401, (method, path, headers)
                if method != "HEAD":
                    problem = answer.json()
                    assert problem["code"] == code, headers
                    says_how = "`Authorization: Bearer <access_token>`" in problem["detail"]
                    assert says_how is (code == "unauthenticated")
                assert answer.headers["www-authenticate"] == 'Bearer realm="taskcore"' + (
                    f', error="{error}"' if error else ""
                )


async def test_the_scheme_may_be_written_in_any_case(ada: Person) -> None:
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        headers = {"Authorization": f"{scheme} {ada.token}"}
        assert (await ada.http.get(f"{V1}/tasks", headers=headers)).status_code == 200


async def test_a_token_in_the_query_or_body_is_ignored(ada: Person) -> None:
    for name in ("access_token", "token", "authorization", "bearer"):
        answer = await ada.http.get(f"{V1}/tasks?{name}={ada.token}")
        refused(answer, 401, "unauthenticated")
        answer = await ada.http.post(f"{V1}/tasks", json={"title": "x", name: ada.token})
        refused(answer, 401, "unauthenticated")


async def test_two_authorization_headers_are_refused(ada: Person, anonymous: Person) -> None:
    for other in (ada.token, "x"):
        for path in ("/tasks", "/users", "/auth/me", "/openapi.json"):
            answer = await anonymous.http.get(
                V1 + path,
                headers=[("Authorization", f"Bearer {ada.token}"), ("Authorization", str(other))],
            )
            refused(answer, 400, "several_credentials")


async def test_cookies_change_nothing(ada: Person) -> None:
    plain = await ada.get("/auth/me")
    assert alike(plain, await ada.get("/auth/me", cookie="session=1; access_token=x"))


async def test_a_nul_in_the_query_is_refused_wherever_it_is(ada: Person) -> None:
    for query, name in (
        ("q=a%00b", "q"),
        ("a=1&skip=%00", "skip"),
        ("%00=1", "\x00"),
        ("a%00b", "a\x00b"),
        ("limit=1%00", "limit"),
    ):
        broken(await ada.get(f"/tasks?{query}"), name)
        broken(await ada.post(f"/auth/login?{query}", {}), name)


async def test_a_valid_request_id_is_kept(anonymous: Person) -> None:
    for request_id in ("a", "A.b_c-9", "x" * 64):
        for url in ("/livez", f"{V1}/tasks", f"{V1}/nowhere"):
            answer = await anonymous.http.get(url, headers={"X-Request-Id": request_id})
            assert answer.headers["x-request-id"] == request_id


async def test_any_other_request_id_is_replaced(anonymous: Person) -> None:
    minted = set()
    for request_id in (
        None,
        "",
        "x" * 65,
        "a b",
        "a\tb",
        '"',
        "<script>",
        "%0a",
        "a\u00e9",
        "{}",
        "a,b",
    ):
        headers = (
            {}
            if request_id is None
            else {"X-Request-Id": request_id.encode("latin-1").decode("latin-1")}
        )
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await anonymous.http.get(f"{V1}/tasks", headers=raw)
        minted.add(answer.headers["x-request-id"])
        assert answer.headers["x-request-id"] != request_id
    assert len(minted) == 11


async def test_caches_may_not_store_responses(anonymous: Person, ada: Person) -> None:
    for answer in (
        await ada.get("/tasks"),
        await ada.get("/auth/me"),
        await anonymous.get("/auth/me"),
        await anonymous.get("/nowhere"),
        await anonymous.post("/auth/login", {"email": ada.email, "password": "correct horse"}),
        await anonymous.post("/auth/refresh", {"refresh_token": ada.refresh_token}),
    ):
        assert answer.headers["cache-control"] == "no-store"


async def test_responses_do_not_name_the_software(ada: Person) -> None:
    for answer in (await ada.get("/tasks"), await ada.get("/nowhere"), await ada.get("/tasks/x")):
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("x-powered")]
        assert "litestar" not in answer.text.lower()


async def test_an_openapi_document_that_the_client_has_is_not_sent_again(app: Litestar) -> None:
    async with opened(app) as http:
        first = await http.get(f"{V1}/openapi.json")
        tag = first.headers["etag"]
        for same in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await http.get(f"{V1}/openapi.json", headers={"If-None-Match": same})
            assert (again.status_code, again.headers["etag"]) == (304, tag), same
        other = await http.get(f"{V1}/openapi.json", headers={"If-None-Match": '"x"'})
        assert other.content == first.content
