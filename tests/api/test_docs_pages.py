"""The documentation pages: complete, cacheable, and loading nothing from elsewhere."""

import asyncio
import gzip
import json
import re
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx
import pytest
from litestar import Litestar, Router

from taskapi.docs import CONTENT_SECURITY_POLICY, docs_handlers
from taskapi.docs.files import FOLDER
from taskapi.etags import matches

PROVENANCE = json.loads((FOLDER / "PROVENANCE.json").read_text())
PACKAGES = {package["name"]: package for package in PROVENANCE["packages"]}
VENDORED = [file for package in PACKAGES.values() for file in package["files"]]
OURS = {"PROVENANCE.json", "swagger-init.js", "redoc-init.js"}
PAGES = ["docs", "redoc"]

# Without Litestar's own OpenAPI routes, which would answer in place of ours.
APP = Litestar(
    [Router("/api/v1", route_handlers=docs_handlers("Tasks <& more>"))],
    openapi_config=None,
    logging_config=None,
)


def get(path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        # httpx and Litestar spell the types of an ASGI scope differently.
        transport = httpx.ASGITransport(APP)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            # httpx adds accept-encoding: gzip by itself; only the test decides here.
            client.headers.pop("accept-encoding")
            return await client.get(
                path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )

    return asyncio.run(ask())


class Addresses(HTMLParser):
    """Everything a page makes the browser load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline_scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get("src") or (values.get("href") if tag == "link" else None)
        if address:
            self.loaded.append(address)
        elif tag == "script":
            self.inline_scripts += 1


def loaded_by(page: str) -> Iterator[str]:
    for address in Addresses(get(f"/api/v1/{page}").text).loaded:
        if not address.startswith("data:"):
            yield urljoin(f"/api/v1/{page}", address)


@pytest.mark.parametrize("file", VENDORED, ids=lambda file: str(file["stored"]))
def test_vendored_files_are_what_was_published(file: dict[str, str]) -> None:
    content = (FOLDER / file["stored"]).read_bytes()
    if file["stored"].endswith(".gz"):
        content = gzip.decompress(content)
    assert sha256(content).hexdigest() == file["sha256"]


def test_every_file_is_ours_or_of_known_provenance() -> None:
    assert {file.name for file in FOLDER.iterdir()} == OURS | {file["stored"] for file in VENDORED}


def test_licences_travel_with_the_code() -> None:
    assert "Apache License" in (FOLDER / "LICENSE-swagger-ui").read_text()
    assert "SmartBear" in (FOLDER / "NOTICE-swagger-ui").read_text()
    assert "MIT License" in (FOLDER / "LICENSE-redoc").read_text()


def test_redoc_stays_below_the_release_that_sends_telemetry() -> None:
    assert PACKAGES["redoc"]["version"].startswith("2.")


@pytest.mark.parametrize("page", PAGES)
def test_pages_send_their_content_security_policy(page: str) -> None:
    answer = get(f"/api/v1/{page}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["cache-control"] == "no-cache"
    assert "<title>Tasks &lt;&amp; more&gt; - " in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(page: str) -> None:
    addresses = Addresses(get(f"/api/v1/{page}").text)
    assert addresses.inline_scripts == 0
    assert len(addresses.loaded) >= 3
    assert not [a for a in addresses.loaded if not re.match(r"docs/assets/[\w.-]+$|data:,$", a)]


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_the_document_relative_to_themselves(page: str) -> None:
    assert 'data-spec="openapi.json"' in get(f"/api/v1/{page}").text


def test_policy_lets_no_script_in_from_elsewhere_or_inline() -> None:
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert "://" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_revalidated_cheaply(page: str) -> None:
    etag = get(f"/api/v1/{page}").headers["etag"]
    again = get(f"/api/v1/{page}", if_none_match=f'"other", W/{etag}')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert get(f"/api/v1/{page}", if_none_match='"other"').status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_trailing_slash_leads_to_the_one_address_of_a_page(page: str) -> None:
    answer = get(f"/api/v1/{page}/")
    assert answer.status_code == 308
    assert urljoin(f"/api/v1/{page}/", answer.headers["location"]) == f"/api/v1/{page}"
    assert get(f"/api/v1/{page}//").headers["location"] == f"../../{page}"


@pytest.mark.parametrize("page", PAGES)
def test_assets_come_packed(page: str) -> None:
    types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
    for path in loaded_by(page):
        for asked in ({}, {"accept_encoding": "br, gzip"}, {"accept_encoding": "identity"}):
            answer = get(path, **asked)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == types[path[path.rindex(".") :]]
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["content-encoding"] == "gzip"
            assert int(answer.headers["content-length"]) < 500_000


@pytest.mark.parametrize("page", PAGES)
def test_an_asset_already_there_is_not_sent_again(page: str) -> None:
    for path in loaded_by(page):
        first = get(path)
        again = get(path, if_none_match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control"):
            assert again.headers[name] == first.headers[name]


@pytest.mark.parametrize(
    "name", ["swagger-ui.css", "PROVENANCE.json", "..%2F__init__.py", "swagger-ui.0.css"]
)
def test_an_unknown_asset_is_not_found(name: str) -> None:
    assert get(f"/api/v1/docs/assets/{name}").status_code == 404


def test_pages_are_not_part_of_the_documented_api() -> None:
    documented = Litestar(docs_handlers("Tasks"), logging_config=None).openapi_schema.paths
    assert not documented


@pytest.mark.parametrize(
    ("if_none_match", "answer"),
    [("", False), ("*", True), ('"a"', True), ('"b", W/"a"', True), ('"b"', False), ("a", False)],
)
def test_a_tag_is_found_in_if_none_match(if_none_match: str, *, answer: bool) -> None:
    assert matches(if_none_match, '"a"') is answer
