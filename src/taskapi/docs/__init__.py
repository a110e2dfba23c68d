"""The documentation pages: Swagger UI and ReDoc, with all assets in this package."""

from functools import cache
from html import escape

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.status_codes import (
    HTTP_304_NOT_MODIFIED,
    HTTP_307_TEMPORARY_REDIRECT,
    HTTP_308_PERMANENT_REDIRECT,
)

from taskapi.compression import kept
from taskapi.docs.files import assets, by_url_name
from taskapi.etags import matches
from taskapi.parameters import IGNORES_QUERY
from taskapi.paths import PREFIX
from taskapi.problems import AnyRequest

__all__ = ["CONTENT_SECURITY_POLICY", "docs_handlers", "show_home", "to_canonical"]

# Swagger UI and ReDoc write style attributes and style elements, hence 'unsafe-inline' for styles
# alone; both draw icons from data: URLs, and ReDoc searches in a worker made from a blob.
_MAY_LOAD = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "font-src": "'self' data:",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
CONTENT_SECURITY_POLICY = "; ".join(f"{what} {where}" for what, where in _MAY_LOAD.items())

# Every address is relative to the page, so that the pages work behind any prefix. The empty icon
# keeps browsers from requesting /favicon.ico.
_HTML = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>body {{ margin: 0 }}</style>
{styles}</head>
<body>
<noscript>JavaScript draws this page from <a href="openapi.json">a document</a>.</noscript>
<div id="docs"></div>
{scripts}</body>
</html>
"""


def docs_handlers(title: str) -> list[HTTPRouteHandler]:
    """GET `/docs`, `/redoc` and `/docs/assets/{name}`, for a router that has `/openapi.json` too.

    The pages carry their own Content-Security-Policy. An unknown asset is a NotFoundException.
    """

    # Built at the first request: creating an app should not read 0.8 MB of assets.
    @cache
    def swagger_ui() -> bytes:
        return _page(
            f"{title} - Swagger UI",
            styles=("swagger-ui.css",),
            scripts=("swagger-ui-bundle.js", "swagger-init.js"),
        )

    @cache
    def redoc() -> bytes:
        return _page(f"{title} - ReDoc", scripts=("redoc.standalone.js", "redoc-init.js"))

    @get("/docs", include_in_schema=False)
    async def show_swagger_ui(request: AnyRequest) -> Response[bytes]:
        return to_canonical(request, "docs") or _show(request, swagger_ui())

    @get("/redoc", include_in_schema=False)
    async def show_redoc(request: AnyRequest) -> Response[bytes]:
        return to_canonical(request, "redoc") or _show(request, redoc())

    return [show_swagger_ui, show_redoc, send_asset]


@get("/", include_in_schema=False, opt={IGNORES_QUERY: True})
async def show_home() -> Response[bytes]:
    """Lead a person who has only the address of the server to the documentation."""
    return _redirect(HTTP_307_TEMPORARY_REDIRECT, f"{PREFIX.removeprefix('/')}/docs")


@get("/docs/assets/{name:str}", include_in_schema=False, opt={IGNORES_QUERY: True})
async def send_asset(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    asset = by_url_name().get(name)
    if asset is None:
        raise NotFoundException
    etag = f'"{asset.digest}"'
    headers = {"cache-control": "public, max-age=31536000, immutable", "etag": etag}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    # Packed also for a client that does not ask for it, as RFC 9110 section 12.5.3 allows: every
    # browser unpacks it, and a client that never reads would keep 1.7 MB of memory.
    headers["content-encoding"] = "gzip"
    return Response(asset.packed, media_type=asset.media_type, headers=headers)


def _page(title: str, *, scripts: tuple[str, ...], styles: tuple[str, ...] = ()) -> bytes:
    url = {name: f"docs/assets/{asset.url_name}" for name, asset in assets().items()}
    *libraries, start = scripts
    return _HTML.format(
        title=escape(title),
        styles="".join(f'<link rel="stylesheet" href="{url[name]}">\n' for name in styles),
        scripts="".join(f'<script src="{url[name]}"></script>\n' for name in libraries)
        + f'<script src="{url[start]}" data-spec="openapi.json"></script>\n',
    ).encode()


def _show(request: AnyRequest, page: bytes) -> Response[bytes]:
    policy = {"content-security-policy": CONTENT_SECURITY_POLICY}
    return kept(page).answer(request, "text/html", policy)


def to_canonical(request: AnyRequest, name: str) -> Response[bytes] | None:
    """Redirect `/docs/` to `/docs`: Litestar serves both, but relative addresses in it need that.

    Litestar has removed the slash from `path`; `raw_path` is optional in ASGI, and without it
    there is no redirect.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    path = raw.partition(b"?")[0]
    slashes = len(path) - len(path.rstrip(b"/"))
    if slashes == 0:
        return None
    return _redirect(HTTP_308_PERMANENT_REDIRECT, "../" * slashes + name)


def _redirect(status: int, location: str) -> Response[bytes]:
    """To an address relative to the page, so that it leads on behind any prefix."""
    headers = {"location": location}
    return Response(b"", status_code=status, media_type="text/plain", headers=headers)
