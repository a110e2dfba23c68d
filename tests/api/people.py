"""Users of the API over HTTP, and the checks of every response that they get."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import httpx

from taskcore import SYSTEM, Core, Role
from tests.factories import PASSWORD

V1 = "/api/v1"
MISSING_ID = 9_000_000_000_000_000_000  # an id that no test reaches

# What every response of the API has.
HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "vary": "Origin",
}

TOKEN_KEYS = {"access_token", "refresh_token", "token_type"}
ONE_TIME = "one_time_password"
_SECRET = re.compile("hash|password|token|secret")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_PROBLEM = {"type", "title", "status", "detail", "code", "request_id"}


@dataclass(frozen=True)
class Person:
    """A client with the token of a user, or with none."""

    http: httpx.AsyncClient
    token: str | None = None
    refresh_token: str = ""
    id: int = 0
    email: str = ""

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
    ) -> httpx.Response:
        """Send `body` as JSON, or `content` unchanged. `path` is relative to /api/v1."""
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= headers or {}
        # As bytes, because httpx refuses header values that are not ASCII.
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        if content is not None:
            if "Content-Type" not in sent:
                raw.append((b"Content-Type", b"application/json"))
            return await self.http.request(method, V1 + path, headers=raw, content=content)
        json = {} if body is None else {"json": body}
        return await self.http.request(method, V1 + path, headers=raw, **json)  # type: ignore[arg-type]

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask("GET", path, headers=_header_names(headers))

    async def post(self, path: str, body: object = None) -> httpx.Response:
        return await self.ask("POST", path, body)

    async def put(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self.ask("PUT", path, body, headers=_header_names(headers))

    async def patch(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self.ask("PATCH", path, body, headers=_header_names(headers))

    async def delete(self, path: str, **headers: str) -> httpx.Response:
        return await self.ask("DELETE", path, headers=_header_names(headers))

    async def task(self, title: str = "Write the letter", description: str = "") -> Any:
        answer = await self.post("/tasks", {"title": title, "description": description})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def titles(self) -> list[str]:
        return [task["title"] for task in (await self.get("/tasks")).json()["items"]]


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def join(
    core: Core, http: httpx.AsyncClient, name: str, role: Role = Role.USER, *, full_name: str = ""
) -> Person:
    """Create an account and log in."""
    user = await core.accounts.create(
        SYSTEM,
        email=f"{name}@example.org",
        password=PASSWORD,
        role=role,
        full_name=full_name or None,
    )
    grant = await core.sessions.log_in(email=user.email, password=PASSWORD)
    return Person(http, grant.access_token, grant.refresh_token, user.id, user.email)


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    """Assert the status and code of a refusal, and return the problem."""
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code, answer.text
    return answer.json()


def broken(answer: httpx.Response, where: str) -> Any:
    """Assert that exactly one rule is broken, at `where`; return its entry.

    `where` is a pointer into the body, or the name of a parameter.
    """
    (error,) = refused(answer, 422, "invalid")["errors"]
    assert error.get("pointer", error.get("parameter")) == where, answer.text
    return error


def led_to(answer: httpx.Response, header: str = "location") -> str:
    """Where a Location or the Link to the next page leads, within the API."""
    reference = answer.headers[header]
    if header == "link":
        match = re.fullmatch('<(.*)>; rel="next"', reference)
        assert match
        reference = match[1]
    there = urljoin(str(answer.request.url), reference)
    assert there.startswith(str(answer.request.url.join(V1)))
    return there.removeprefix(str(answer.request.url.join(V1)))


def alike(one: httpx.Response, other: httpx.Response) -> bool:
    """Whether two responses are equal byte by byte, apart from the request id."""
    return _anonymous(one) == _anonymous(other)


def _anonymous(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    request_id = answer.headers["x-request-id"].encode()
    headers = [(name.lower(), value.replace(request_id, b"*")) for name, value in
               answer.headers.raw]  # fmt: skip
    return answer.status_code, headers, answer.content.replace(request_id, b"*")


async def check_sound(answer: httpx.Response) -> None:
    """Check what holds for every response. The client `opened` yields calls it each time."""
    await answer.aread()
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", headers["x-request-id"])
    assert "origin" in headers["vary"].lower()
    assert "set-cookie" not in headers
    if answer.is_error:
        _check_problem(answer)
    elif answer.status_code in {204, 304} or answer.request.method == "HEAD":
        assert not answer.content
    elif headers["content-type"] == "application/json":
        assert headers["cache-control"] in {"no-store", "no-cache"}
        if not answer.request.url.path.endswith("openapi.json"):
            _check_shown(answer)


def _check_problem(answer: httpx.Response) -> None:
    headers, status = answer.headers, answer.status_code
    assert headers["content-type"] == "application/problem+json"
    if status == 401:
        assert headers["www-authenticate"].startswith('Bearer realm="taskcore"')
    if status == 405:
        assert headers["allow"]
    if status in {429, 503}:
        assert int(headers["retry-after"]) >= 1
    if answer.request.method == "HEAD":
        assert not answer.content
        return
    problem = answer.json()
    points = status == 422 or (status in {404, 412} and answer.url.path.endswith("/tasks/bulk"))
    assert set(problem) == _PROBLEM | ({"errors"} if points else set())
    assert problem["status"] == status
    assert problem["request_id"] == headers["x-request-id"]
    assert re.fullmatch("[a-z][a-z_]*", problem["code"])
    assert all(isinstance(problem[key], str) for key in _PROBLEM - {"status"})
    for error in problem.get("errors", ()):
        (place,) = set(error) - {"detail", "code"}
        assert place in {"pointer", "parameter"}
        assert error["detail"]
        assert error["code"]


def _check_shown(answer: httpx.Response) -> None:
    for key, value in _pairs(answer.json()):
        assert key in {*TOKEN_KEYS, ONE_TIME} or not _SECRET.search(key), key
        if key == ONE_TIME:
            assert re.fullmatch(rf"{V1}/users/\d+/password", answer.request.url.path)
        if key in TOKEN_KEYS:
            assert answer.request.url.path in {f"{V1}/auth/login", f"{V1}/auth/refresh"}
        if key.endswith("_at"):
            assert value is None or isinstance(value, dict) or _MOMENT.fullmatch(value)


def _pairs(json: object) -> Iterator[tuple[str, Any]]:
    if isinstance(json, dict):
        for key, value in json.items():
            yield key, value
            yield from _pairs(value)
    elif isinstance(json, list):
        for item in json:
            yield from _pairs(item)


async def again(person: Person) -> Person:
    """The person with a new login, because some calls end a session."""
    credentials = {"email": person.email, "password": PASSWORD}
    tokens = (await Person(person.http).post("/auth/login", credentials)).json()
    return replace(person, token=tokens["access_token"])
