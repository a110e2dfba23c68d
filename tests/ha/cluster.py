"""Three PostgreSQL servers with Patroni, etcd and HAProxy, as docs/deployment.md has them."""

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.debian import Folder, documented, signalled, working_in
from tests.ha.programs import postgres_programs
from tests.poolers import pgbouncer
from tests.processes import children, eventually

_START_WITHIN, _WHOLE_WITHIN, _FAILOVER_WITHIN = 60.0, 60.0, 40.0  # seconds


class Node:
    """One PostgreSQL server, and the Patroni that starts, stops and promotes it."""

    def __init__(self, folder: Folder, number: int, patroni: list[str], config: str) -> None:
        self.name = f"pg{number}"
        self._folder, self._command = folder, patroni
        self._file = folder.write(f"{self.name}.yml", config)
        self.data = folder.path / self.name
        found = re.findall(r"connect_address: \"?127.0.0.1:(\d+)", config)
        self._rest, self.port = map(int, found)

    def start(self) -> None:
        self._patroni = self._folder.start(self.name, *self._command, self._file)

    def asks(self, path: str, body: object = None) -> tuple[int, bytes]:
        """The status and the body that Patroni answers; 0 if it does not."""
        url = f"http://127.0.0.1:{self._rest}{path}"
        content = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(url, content, timeout=1 if body is None else 30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password="SUPERUSER_PASSWORD",
            dbname=dbname,
            connect_timeout=2,
            autocommit=True,
        )

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def backends(self, kind: str) -> list[int]:
        return [pid for pid in children(self.postmaster) if kind in _title(pid)]

    def suspend(self, pids: Sequence[int]) -> None:
        signalled(signal.SIGSTOP, pids)

    def kill_postmaster(self) -> None:
        signalled(signal.SIGKILL, [self.postmaster])

    def kill_postgres(self) -> None:
        """Every process at the same moment."""
        signalled(signal.SIGSTOP, [self.postmaster])  # so that it starts no process
        signalled(signal.SIGKILL, [*children(self.postmaster), self.postmaster])

    def kill(self) -> None:
        """Patroni and every process of PostgreSQL, as a machine that loses its power."""
        signalled(signal.SIGSTOP, [self._patroni.pid])
        self.kill_postgres()
        self._patroni.kill()
        self._patroni.wait()

    @contextmanager
    def frozen(self, *, patroni: bool) -> Iterator[None]:
        """PostgreSQL is suspended, and Patroni or not; connections stay open."""
        pids = [self.postmaster]
        if patroni:
            pids += [self._patroni.pid, *children(self._patroni.pid)]
        self.suspend(pids)  # first, so that they start no process
        pids += [*children(self.postmaster), *working_in(self.data)]
        self.suspend(pids)
        try:
            yield
        finally:
            signalled(signal.SIGCONT, pids)


class Cluster:
    def __init__(self, folder: Folder, patroni: list[str], base: int, *, is_async: bool) -> None:
        """`is_async`: commits do not wait for a second server, against the document."""
        self._folder, self._base, self._is_async = folder, base, is_async
        self.port = base + 2
        text = documented("yaml", "Failover with Patroni")
        if is_async:
            text = text.replace("synchronous_mode: quorum", "synchronous_mode: 'off'")
            text = text.replace("mode_strict: true", "mode_strict: false")
        self.nodes = [Node(folder, n, patroni, self._config(text, n)) for n in (1, 2, 3)]
        self._etcd: subprocess.Popen[bytes] | None = None

    def _config(self, text: str, number: int) -> str:
        text = text.replace("name: pg1", f"name: pg{number}").replace("max_connections: 100", SMALL)
        text = text.replace("10.0.0.21:8008", f"127.0.0.1:{self._base + number * 10}")
        text = text.replace("10.0.0.21:5432", f"127.0.0.1:{self._base + number * 10 + 1}")
        text = re.sub(r"hosts: \[.*\]", f"hosts: [127.0.0.1:{self._base}]", text)
        text = text.replace("10.0.0.0/24", "127.0.0.1/32")
        for name, value in {
            "data_dir": self._folder.path / f"pg{number}",
            "bin_dir": postgres_programs(),
            "pgpass": self._folder.path / f"pg{number}.pgpass",
        }.items():
            text = re.sub(rf"{name}: .*", f"{name}: {value}", text)
        return f"{text}  parameters: {{unix_socket_directories: '{self._folder.path}'}}\n"

    def start(self) -> None:
        self.start_etcd()
        for node in self.nodes:
            node.start()
        text = documented("haproxy", "Failover with Patroni")
        text = text.replace("10.0.0.41:5000", f"127.0.0.1:{self.port}")
        for number, node in enumerate(self.nodes, 1):
            old = f"10.0.0.2{number}:5432 check port 8008"
            text = text.replace(old, f"127.0.0.1:{node.port} check port {self._base + number * 10}")
        file = self._folder.write("haproxy.cfg", text)
        self._folder.start("haproxy", "/usr/sbin/haproxy", "-db", "-f", file)
        assert eventually(self.is_whole, within=_START_WITHIN), self._logs()

    def start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._base, self._base + 1))
        self._etcd = self._folder.start(
            "etcd",
            *("/usr/bin/etcd", "--name", "e1", "--data-dir", self._folder.path / "etcd"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"e1={peer}", "--logger", "zap", "--log-level", "warn"),
        )

    def kill_etcd(self) -> None:
        assert self._etcd
        self._etcd.kill()
        self._etcd.wait()

    def primary(self) -> Node:
        """Raises StopIteration if there is none."""
        return next(node for node in self.nodes if node.asks("/primary")[0] == 200)

    def has_primary(self, *, other_than: Node) -> bool:
        others = [node for node in self.nodes if node is not other_than]
        return any(node.asks("/primary")[0] == 200 for node in others)

    def wait_for_another(self, than: Node) -> None:
        found = eventually(lambda: self.has_primary(other_than=than), within=_FAILOVER_WITHIN)
        assert found, self._logs()

    def is_whole(self) -> bool:
        """Whether a primary has two replicas that follow it, and commits wait for them."""
        with suppress(StopIteration):
            members = json.loads(self.primary().asks("/cluster")[1] or b"{}").get("members", [])
            timelines = {member.get("timeline") for member in members}
            states = sorted(f"{member['role']} {member['state']}" for member in members)
            replica = "replica" if self._is_async else "quorum_standby"
            expected = ["leader running", *[f"{replica} streaming"] * 2]
            return states == expected and len(timelines) == 1
        return False

    def wait_until_whole(self) -> None:
        assert eventually(self.is_whole, within=_WHOLE_WITHIN), self._logs()

    def switch_over(self) -> None:
        primary = self.primary()
        status, text = primary.asks("/switchover", {"leader": primary.name})
        assert status == 200, text

    def _logs(self) -> str:
        return "\n".join(self._folder.log(node.name)[-1500:] for node in self.nodes)

    def start_pooler(self) -> None:
        """PgBouncer before HAProxy."""
        database = f"host=127.0.0.1 port={self.port} password=PASSWORD"
        pgbouncer.start(self._folder, self.port + 1, database, password="PASSWORD", outages=True)

    def ways(self) -> dict[str, dict[str, str]]:
        """How a server may be told to reach the database."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        account = "postgresql://taskcore:PASSWORD@"
        pooler = {"DATABASE_URL": f"{account}127.0.0.1:{self.port + 1}/taskcore"}
        return {
            "HAProxy": {"DATABASE_URL": f"{account}127.0.0.1:{self.port}/taskcore"},
            "all hosts": {"DATABASE_URL": f"{account}{hosts}/taskcore"},
            "PgBouncer": pooler | {"DATABASE_POOLER": "on"},
        }


SMALL = "max_connections: 60\n        shared_buffers: 32MB"


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""
