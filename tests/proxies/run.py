"""The proxies of docs/deployment.md before two servers that stop and start, one after the other.

    python -m tests.proxies.run [--cycles 4] [nginx] [haproxy] [caddy]

nginx, HAProxy and Caddy are Debian's, and only this needs them. The configurations are those of
the document but for addresses and certificates. Each is asked by a few clients at a bounded rate;
a request is lost if its answer is no success. A stream of changes is followed meanwhile: an event
may take STREAM_WITHIN at most.
"""

import argparse
import http.client
import json
import re
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Self

from tests.api.served import as_url
from tests.debian import Folder, documented, missing, say, working_folder
from tests.postgres.servers import server
from tests.processes import eventually
from tests.server.running import KEY, STREAM, Api, free_port, taskcli

CLIENTS = 8
PAUSE = 0.02  # seconds between two requests of a client
DRAIN_SECONDS = 8
STREAM_WITHIN = 2.0  # seconds; another process's change takes half a second
_UP_WITHIN = 60  # seconds
STREAM_FOR = 40  # seconds: longer than the timeouts of the proxies
PREFIX = "/api/v1"
COMMANDS = {
    "nginx": ["/usr/sbin/nginx", "-p", "{folder}", "-c", "{file}"],
    "haproxy": ["/usr/sbin/haproxy", "-db", "-f", "{file}"],
    "caddy": ["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", "{file}"],
}
# Around the document's part, what makes it a whole file for another account and port.
FRAMES = {
    "nginx": "daemon off; pid nginx.pid; error_log error.log; events {{}}\n"
    "http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;"
    " uwsgi_temp_path t4; scgi_temp_path t5;\n{part}\n}}\n",
    "haproxy": "{part}\n",
    "caddy": "{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{part}\n",
}


def configuration(proxy: str, port: int, servers: list[int], pem: Path) -> str:
    """The document's, with our addresses in place of the example's."""
    part = documented(f"{proxy}(?:file)?", "A proxy in front")
    for number, ours in enumerate(servers, 1):
        part = part.replace(f"10.0.0.1{number}:8000", f"127.0.0.1:{ours}")
    part = part.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    part = part.replace("bind :443 ssl", f"bind 127.0.0.1:{port} ssl")
    part = re.sub("/etc/ssl/api.(pem|key)", str(pem), part)
    part = part.replace("api.example.org {", f"https://localhost:{port} {{\n\ttls {pem} {pem}")
    return FRAMES[proxy].format(part=part)


def start(proxy: str, folder: Folder, text: str, port: int) -> None:
    file = folder.write(f"{proxy}.conf", text)
    folder.start(proxy, *(word.format(folder=folder.path, file=file) for word in COMMANDS[proxy]))
    assert eventually(lambda: is_up(port), within=_UP_WITHIN), folder.log(proxy)


def connection(port: int, timeout: float = 35) -> http.client.HTTPSConnection:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("localhost", port, timeout=timeout, context=context)


def is_up(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):
        there = connection(port)
        there.request("GET", "/readyz")
        return there.getresponse().status == 200
    return False


class Load:
    """Clients that read and write without an end, each on a connection that it keeps."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._is_over = threading.Event()
        self.results: Counter[str] = Counter()
        self.requests = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        there = connection(self._port)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        number = 0
        while not self._is_over.wait(PAUSE):
            number += 1
            method, query, body = "GET", "?limit=5", None
            if number % 2:
                method, query, body = "POST", "", json.dumps({"title": f"{number}"})
            try:
                there.request(method, f"{PREFIX}/tasks{query}", body, headers)
                answer = there.getresponse()
                answer.read()
                result = "" if answer.status in {200, 201} else f"{method} {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                there.close()
                result = f"{method} {type(error).__name__}"
            with self._lock:
                self.requests += 1
                if result:
                    self.results[result] += 1


def follow(port: int, token: str) -> list[float]:
    """How long each event takes to arrive, in seconds, over a stream of STREAM_FOR."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    stream, writer = connection(port), connection(port)
    stream.request("GET", STREAM, headers=headers | {"Accept-Encoding": "gzip, zstd"})
    lines = stream.getresponse()
    assert lines.status == 200, lines.status
    assert not lines.headers["Content-Encoding"]
    took: list[float] = []
    began = time.monotonic()
    for pause in (0, 1, STREAM_FOR - 8, 1):
        time.sleep(pause)
        sent = time.monotonic()
        writer.request("POST", f"{PREFIX}/tasks", json.dumps({"title": "x"}), headers)
        writer.getresponse().read()
        writer.close()  # the proxy would, during the long pause
        while not (line := lines.readline()).startswith(b"data:"):
            assert line, f"the stream ended after {time.monotonic() - began:.0f} s"
        took.append(time.monotonic() - sent)
    stream.close()
    return took


def certificate(folder: Folder) -> Path:
    key, pem = folder.path / "key.pem", folder.path / "cert.pem"
    how = (
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=localhost",
    )
    folder.run("openssl", "req", "-x509", *how, "-keyout", key, "-out", pem)
    return folder.write("api.pem", pem.read_text() + key.read_text())


class Pool:
    """Two servers on one database, each on a port of its own."""

    def __init__(self, folder: Path, url: str, **env: str) -> None:
        self._folder = folder
        self._env = {"DATABASE_URL": url, "SECRET_KEY": KEY, "TRUSTED_PROXIES": "127.0.0.1", **env}
        self.ports = [free_port(), free_port()]
        self._apis = [self._start(port) for port in self.ports]

    def _start(self, port: int) -> Api:
        return Api(self._folder / str(port), SERVER_PORT=str(port), **self._env).ready()

    def token(self) -> str:
        return self._apis[0].register()

    def restart(self, number: int) -> None:
        with self._apis[number] as api:
            assert api.stop() == 0
        self._apis[number] = self._start(self.ports[number])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for api in self._apis:
                stack.push(api)


def tried(proxy: str, pool: Pool, cycles: int) -> bool:
    """Whether nothing was lost."""
    port, token = free_port(), pool.token()
    with working_folder() as folder:
        text = configuration(proxy, port, pool.ports, certificate(folder))
        start(proxy, folder, text, port)
        took = follow(port, token)
        with Load(port, token) as load:
            for number in range(cycles):
                time.sleep(3)
                pool.restart(number % 2)
            time.sleep(3)
    lost = sum(load.results.values())
    told = ", ".join(f"{number} x {what}" for what, number in load.results.most_common())
    say(f"{proxy}: {lost} of {load.requests} requests lost over {cycles} stops {told}")
    say(f"{proxy}: an event of the stream took {median(took):.2f} s, at most {max(took):.2f} s")
    return not lost and max(took) < STREAM_WITHIN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("proxies", nargs="*", metavar="proxy", help=", ".join(COMMANDS))
    parser.add_argument("--cycles", type=int, default=4, help="how many stops of a server")
    parser.add_argument("--drain", type=int, default=DRAIN_SECONDS, help="DRAIN_SECONDS")
    args = parser.parse_args()
    wanted = args.proxies or list(COMMANDS)
    if refusal := missing({COMMANDS[name][0]: name for name in wanted}):
        say(refusal)
        return 1
    with tempfile.TemporaryDirectory() as folder, server() as database:
        url = as_url(database.conninfo)
        done = taskcli(Path(folder), "db", "upgrade", DATABASE_URL=url, SECRET_KEY=KEY)
        assert done.returncode == 0, done.stderr
        with Pool(Path(folder), url, DRAIN_SECONDS=str(args.drain)) as pool:
            results = [tried(each, pool, args.cycles) for each in wanted]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
