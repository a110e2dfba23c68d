"""The first five minutes of a user, played in the documentation pages by a real browser.

    python tests/browser/run.py                              start a server of its own
    python tests/browser/run.py --url http://127.0.0.1:8000  use one that runs

Chromium is Debian's; Playwright only drives it (`requirements-browser.txt`). No name but 127.0.0.1
can be resolved, and the run fails if a page so much as tries to reach another host, breaks its
Content-Security-Policy, or writes an error to the console.
"""
# Playwright is installed for this script alone, and types are checked with it and without.
# mypy: disable-error-code="import-not-found"

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

SERVE = [str(Path(sys.executable).with_name("taskcli")), "serve"]
# A first start makes a database cluster; a stop waits for the requests in flight.
READY_WITHIN = 120
STOPPED_WITHIN = 30
STEP_WITHIN = 60_000  # milliseconds, as Playwright counts; on a busy machine a click takes 20 s

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def main() -> int:
    parser = argparse.ArgumentParser(description="Play a user's first minutes in a browser.")
    parser.add_argument("--url", help="a running server, e.g. http://127.0.0.1:8000")
    parser.add_argument("--screenshots", type=Path, help="where to keep them (default: a new one)")
    args = parser.parse_args()

    chromium = debian_chromium()
    screenshots: Path = args.screenshots or Path(mkdtemp(prefix="taskapi-pages-"))
    screenshots.mkdir(parents=True, exist_ok=True)
    try:
        if args.url:
            play(args.url.rstrip("/"), chromium, screenshots)
        else:
            with running_server() as url:
                play(url, chromium, screenshots)
    finally:
        say(f"screenshots: {screenshots}")
    say("the pages work, and stay at home")
    return 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def debian_chromium() -> str:
    if found := shutil.which("chromium"):
        return found
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        sys.exit("Chromium is missing. As root: apt-get update && apt-get install -y chromium")
    say("installing chromium")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run([apt, "-qq", *command], check=True, env=quiet)  # noqa: S603  fixed commands
    return shutil.which("chromium") or sys.exit("apt-get installed no chromium")


@contextmanager
def running_server() -> Iterator[str]:
    """A server on a free port, with new data and none of the caller's settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with TemporaryDirectory(prefix="taskapi-data-") as data:
        env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env |= {"SERVER_PORT": str(port), "DATA_DIR": data}
        # The working directory is empty too: a `.env` there would be read.
        server = subprocess.Popen(SERVE, env=env, cwd=data)  # noqa: S603  our own command
        try:
            wait_until_ready(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                code = server.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                server.kill()
                code = server.wait()
            say(f"server stopped with {code}")


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if (code := server.poll()) is not None:
            sys.exit(f"the server ended with {code} before it was ready")
        try:
            with urlopen(f"{url}/readyz", timeout=5):  # noqa: S310  our own server
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    sys.exit(f"the server was not ready after {READY_WITHIN} seconds")


@dataclass
class Watch:
    """Everything a page did that it should not have."""

    home: str
    requests: int = 0
    faults: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        # Playwright takes these from Network.requestWillBeSent of every page, frame and worker,
        # so a page's request that the policy or the resolver stopped is seen as well. What the
        # policy refuses to a worker is not, but that goes nowhere.
        context.on("request", lambda request: self.request(request.url))
        context.on("console", lambda message: self.console(message.type, message.text))
        context.on("weberror", lambda error: self.fault("exception", str(error.error)))
        # A violation in a page is an event, too; it reaches us by way of the console.
        context.add_init_script(
            "addEventListener('securitypolicyviolation', e =>"
            " console.error('CSP', e.violatedDirective, e.blockedURI), true)"
        )

    def request(self, url: str) -> None:
        self.requests += 1
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.home:
            self.fault("request", url)

    def console(self, kind: str, text: str) -> None:
        if kind == "error" or "Content Security Policy" in text:
            self.fault("console", text)

    def fault(self, kind: str, text: str) -> None:
        self.faults.append(f"{kind}: {text}")


def play(url: str, chromium: str, screenshots: Path) -> None:
    watch = Watch(home=url)
    with (
        TemporaryDirectory(prefix="taskapi-profile-", ignore_cleanup_errors=True) as work,
        sync_playwright() as playwright,
    ):
        journal = Path(work) / "net-log.json"
        context = playwright.chromium.launch_persistent_context(
            Path(work) / "profile",
            executable_path=chromium,
            headless=True,
            args=[*CHROMIUM_FLAGS, f"--log-net-log={journal}"],
            viewport={"width": 1280, "height": 1000},
        )
        context.set_default_timeout(STEP_WITHIN)
        expect.set_options(timeout=STEP_WITHIN)
        watch.over(context)
        try:
            first_minutes(SwaggerUi(context.new_page(), url, screenshots))
            read_redoc(context.new_page(), url, screenshots)
        finally:
            for number, page in enumerate(context.pages):
                page.screenshot(path=screenshots / f"last-{number}.png")
            context.close()
        origins = asked_for(journal)
        check(url in origins, f"the browser's log of its requests says nothing: {origins}")
        for strange in sorted(origins - {url}):
            watch.fault("network", strange)
    if watch.faults:
        sys.exit("\n".join(["The pages misbehaved:", *watch.faults]))
    say(f"{watch.requests} requests, all to {url}; no console error, no CSP violation")


def asked_for(journal: Path) -> set[str]:
    """Origins of the requests that pages and workers made, as the browser's network stack saw them.

    Chromium asks its vendor for updates and the like whatever the flags say (and gets no answer,
    for want of a resolver). Those requests have no origin as their initiator.
    """
    log = json.loads(journal.read_text())
    requests = [
        urlsplit(event["params"]["url"])
        for event in log["events"]
        if event.get("params", {}).get("initiator", "not an origin") != "not an origin"
    ]
    return {f"{url.scheme}://{url.netloc}" for url in requests}


@dataclass
class SwaggerUi:
    """Swagger UI as its user sees it: blocks to open, forms to fill in, answers to read."""

    page: Page
    url: str
    screenshots: Path
    shots: int = 0

    def open(self) -> None:
        self.page.goto(f"{self.url}/api/v1/docs")
        expect(self.page.locator(".opblock").first).to_be_visible()
        self.shot("overview")

    def shot(self, name: str) -> None:
        self.shots += 1
        path = self.screenshots / f"{self.shots:02}-{name}.png"
        self.page.screenshot(path=path, full_page=True)

    def operation(self, method: str, path: str) -> Locator:
        """Find an operation as a reader does, by the end of its path."""
        blocks = self.page.locator(".opblock").filter(
            has=self.page.locator(f'.opblock-summary-path[data-path$="{path}"]')
        )
        return blocks.filter(
            has=self.page.locator(".opblock-summary-method").get_by_text(method, exact=True)
        )

    def call(
        self,
        method: str,
        path: str,
        status: HTTPStatus,
        *,
        body: object = None,
        path_id: int | None = None,
    ) -> Any:
        block = self.operation(method, path)
        block.locator(".opblock-summary").click()
        block.get_by_role("button", name="Try it out").click()
        if path_id is not None:
            block.locator('tr[data-param-in="path"] input').fill(str(path_id))
        if body is not None:
            block.locator("textarea.body-param__text").fill(json.dumps(body, indent=2))
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table .response")
        expect(answer.locator(".response-col_status")).to_contain_text(re.compile(r"\d{3}"))
        self.shot(f"{method.lower()}{path.replace('/', '-').rstrip('-{')}")
        expect(answer.locator(".response-col_status")).to_contain_text(str(status.value))
        say(f"{method} {path}: {status.value}")
        content = None
        if status != HTTPStatus.NO_CONTENT:
            content = json.loads(
                answer.locator(".response-col_description code").first.inner_text()
            )
        # Closed again, so that the next screenshot shows the next block.
        block.locator(".opblock-summary").click()
        return content

    def authorize(self, token: str) -> None:
        self.page.locator(".auth-wrapper .btn.authorize").click()
        dialog = self.page.locator(".dialog-ux")
        dialog.locator(".auth-container input").first.fill(token)
        dialog.locator("button.authorize").click()
        expect(dialog.get_by_role("heading", name="Authorized", exact=True)).to_be_visible()
        self.shot("authorized")
        dialog.locator("button.btn-done").click()
        expect(dialog).to_be_hidden()


def first_minutes(ui: SwaggerUi) -> None:
    ui.open()
    email, password = f"ada-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(16)
    account = {"email": email, "password": password}
    user = ui.call(
        "POST", "/auth/register", HTTPStatus.CREATED, body={**account, "full_name": "Ada"}
    )
    check(user["email"] == email, f"registered as {user}")
    tokens = ui.call("POST", "/auth/login", HTTPStatus.OK, body=account)
    ui.authorize(tokens["access_token"])

    draft = {"title": "Buy milk", "description": "Two litres, and an apple <b>pie</b>"}
    task = ui.call("POST", "/tasks", HTTPStatus.CREATED, body=draft)
    listed = ui.call("GET", "/tasks", HTTPStatus.OK)
    check(task["id"] in [item["id"] for item in listed["items"]], f"not in the list: {task}")
    edited = ui.call(
        "PUT", "/tasks/{task_id}", HTTPStatus.OK, path_id=task["id"], body={"title": "Buy oat milk"}
    )
    seen = ui.call("GET", "/tasks/{task_id}", HTTPStatus.OK, path_id=task["id"])
    check(seen["title"] == edited["title"] == "Buy oat milk", f"not as edited: {seen}")
    check(seen["description"] == draft["description"], f"not as written: {seen}")
    ui.call("DELETE", "/tasks/{task_id}", HTTPStatus.NO_CONTENT, path_id=task["id"])


def read_redoc(page: Page, url: str, screenshots: Path) -> None:
    with urlopen(f"{url}/api/v1/openapi.json", timeout=10) as answer:  # noqa: S310  our own server
        document = json.load(answer)
    operations = [
        operation
        for path in document["paths"].values()
        for method, operation in path.items()
        if method in ("get", "put", "post", "delete", "patch")
    ]
    page.goto(f"{url}/api/v1/redoc")
    sections = page.locator('[id^="operation/"]')
    expect(sections).to_have_count(len(operations))
    expect(page.locator("h1").first).to_contain_text(document["info"]["title"])
    expect(page.locator("img")).to_have_count(0)
    page.screenshot(path=screenshots / "redoc.png")

    # The search runs in a worker, which the policy has to let in.
    page.get_by_role("textbox").first.fill("task")
    expect(page.locator('[role="search"] [role="menuitem"]').first).to_be_visible()
    page.screenshot(path=screenshots / "redoc-search.png")
    say(f"ReDoc drew {len(operations)} operations")


def check(holds: bool, otherwise: str) -> None:  # noqa: FBT001  reads as a sentence
    if not holds:
        sys.exit(otherwise)


if __name__ == "__main__":
    sys.exit(main())
