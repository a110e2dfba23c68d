"""Running `taskcli serve`, its processes, and an HTTP client for it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from tests import canaries
from tests.factories import PASSWORD
from tests.leash import Leash
from tests.processes import children, eventually

ADA = "ada@example.org"
_NUMBERS = count()
KEY = "0123456789-abcdefghij-KLMNOPQRST-uvwxyz"
STREAM = "/api/v1/changes/stream"
TASKCLI = [sys.executable, "-m", "taskcli"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _OneWriteConnection(http.client.HTTPConnection):
    """Sends the headers and the body of a request in one write."""

    def __init__(self, port: int, timeout: float) -> None:
        super().__init__("127.0.0.1", port, timeout=timeout)
        self._unsent = b""

    def send(self, data: Any) -> None:
        self._unsent += data

    def getresponse(self) -> http.client.HTTPResponse:
        request, self._unsent = self._unsent, b""
        super().send(request)
        return super().getresponse()


class Client:
    """Keeps one connection alive, and opens it when a request needs it."""

    def __init__(self, port: int, *, token: str | None = None, timeout: float = 30) -> None:
        self._connection = _OneWriteConnection(port, timeout)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Raises OSError or HTTPException when there is no response."""
        started = time.monotonic()
        all_headers = dict(self._headers)
        content = None
        if body is not None:
            content = json.dumps(body)
            all_headers["Content-Type"] = "application/json"
        all_headers |= headers or {}
        try:
            self._connection.request(method, path, content, all_headers)
            response = self._connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, received, response.read(), time.monotonic() - started)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class Api:
    """A server in a process group of its own, as a terminal or a service manager starts it."""

    def __init__(self, folder: Path, *program: str | Path, **env: str) -> None:
        folder.mkdir(exist_ok=True)
        self.port = int(env.get("SERVER_PORT") or free_port())
        self.folder = folder
        self.log_file = folder / f"server-{self.port}-{time.monotonic_ns()}.log"
        self._mark = f"STARTED_BY={os.getpid()}-{next(_NUMBERS)}"
        name, _, value = self._mark.partition("=")
        self.env = {
            "PATH": os.environ["PATH"],
            name: value,
            "DATA_DIR": str(folder / "data"),
            "SERVER_PORT": str(self.port),
            "LOG_FORMAT": "json",
            "RATE_LIMITS": "off",
            "LOG_LEVEL": "DEBUG",
            **env,
        }
        self.data_dir = Path(self.env["DATA_DIR"])
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                [*(program or TASKCLI), "serve"],
                cwd=folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._leash = Leash(self.process.pid)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def workers(self) -> list[int]:
        return [pid for pid in children(self.process.pid) if "taskcli" in command(pid)]

    def client(self, *, token: str | None = None, timeout: float = 30) -> Client:
        return Client(self.port, token=token, timeout=timeout)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send the request on a new connection."""
        with self.client(token=token) as client:
            return client.call(method, path, body, headers=headers)

    def ready(self, *, within: float = 40) -> Self:
        assert eventually(lambda: self.is_ready() or self.ended(), within=within), self.log
        assert not self.ended(), self.log
        return self

    def is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_for_log(self, text: str, *, within: float = 40) -> None:
        assert eventually(lambda: text in self.log or self.ended(), within=within), self.log
        assert text in self.log

    def exit_code(self, *, within: float = 40) -> int:
        return self.process.wait(within)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within: float = 40) -> int:
        self.process.send_signal(number)
        return self.exit_code(within=within)

    def processes(self) -> set[int]:
        """What this server started and still runs, whether or not the server itself does."""
        mark = self._mark.encode()
        found = {pid for pid in all_processes() if mark in environment(pid).split(b"\0")}
        return found | database_processes(self.data_dir)

    def log_in(self, email: str = ADA) -> str:
        """An access token."""
        answer = self.call("POST", "/api/v1/auth/login", {"email": email, "password": PASSWORD})
        assert answer.status == 200, answer
        token: str = answer.json["access_token"]
        return token

    @contextmanager
    def stream(self, token: str) -> Iterator[http.client.HTTPResponse]:
        """A stream of changes that has begun. It hangs up at the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", STREAM, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            assert response.status == 200
            begin = [response.readline() for _ in range(4)]
            assert [begin[0], *begin[1::2]] == [b"retry: 3000\n", b"\n", b"\n"]
            assert begin[2].startswith(b"id: ")
            yield response
        finally:
            connection.close()

    def register(self, email: str = "") -> str:
        """A new account's access token."""
        email = email or f"{uuid4().hex}@example.org"
        answer = self.call("POST", "/api/v1/auth/register", {"email": email, "password": PASSWORD})
        assert answer.status == 201, answer
        return self.log_in(email)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server and every process it started, then check the logs for secrets."""
        if not self.ended():
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        left = not eventually(
            lambda: not self.processes() - shared_database(self.data_dir), within=5
        )
        for pid in self.processes() - shared_database(self.data_dir):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._leash.release()
        assert not left or error, f"processes were left behind: {self.log}"
        log = self.log
        assert canaries.leaks(log) == []
        assert not any(key in log for key in canaries.generated_keys([self.data_dir]))


def shared_database(data_dir: Path) -> set[int]:
    """The database's processes if another server of these tests uses it, or none."""
    mark = f"DATA_DIR={data_dir}".encode()
    used = any(mark in environment(pid).split(b"\0") for pid in all_processes())
    return database_processes(data_dir) if used else set()


def database_processes(data_dir: Path) -> set[int]:
    """The supervisor, postmaster and backends of the embedded PostgreSQL in that folder."""
    folder = data_dir / "postgres"
    return {
        pid
        for pid in all_processes()
        if str(folder) in command(pid).split("\0") or cwd(pid) == folder / "cluster"
    }


def all_processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def environment(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def cwd(pid: int) -> Path | None:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink()
    return None


def taskcli(
    folder: Path, *arguments: str, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run another command in the folder of a server."""
    return subprocess.run(  # noqa: S603 - ourselves
        [*TASKCLI, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **env},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def refused(port: int) -> bool:
    """Whether connections are refused: no process listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def suspended(pids: set[int]) -> Iterator[None]:
    """Suspend the processes, so that all can be killed before one reacts to another's end."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
