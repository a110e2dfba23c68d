"""METRICS_ADDRESS of a real server: exact over its workers, also when one is killed."""

import os
import signal
import threading
import urllib.request
from pathlib import Path

from taskapi.metrics.series import ALL
from tests.metrics.told import told
from tests.processes import eventually
from tests.server.load import Load, list_tasks, read_self
from tests.server.running import Api, Client, free_port

LISTS = 'taskcore_requests_total{method="GET",route="/api/v1/tasks",status="200"}'


def scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return told(answer.read())


def test_counts_are_exact_over_workers_and_never_go_back(folder: Path) -> None:
    port = free_port()
    with Api(folder, WORKERS="2", METRICS_ADDRESS=f"127.0.0.1:{port}") as api:
        token = api.ready().register()
        with api.client(token=token) as client:
            for _ in range(50):
                read_self(client, "")
        # Batches are counted in each worker, and published each second.
        assert eventually(
            lambda: scraped(port).get("taskcore_batch_requests_sum", 0) >= 50, within=10
        )
        seen: list[float] = []
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(0.01):
                seen.append(scraped(port).get(LISTS, 0))

        looking = threading.Thread(target=look)
        looking.start()
        with Load(api, token, list_tasks, reconnect=True) as load:
            assert eventually(lambda: len(load.exchanges) > 200, within=20)
            victim = api.workers[0]
            os.kill(victim, signal.SIGKILL)
            assert eventually(lambda: len(set(api.workers) - {victim}) == 2, within=5)
            assert eventually(lambda: scraped(port)["taskcore_worker_starts_total"] == 3, within=10)
        answered = sum(e.status == 200 for e in load.exchanges)
        is_over.set()
        looking.join()
        assert seen == sorted(seen)
        # What the killed worker had answered, and its client did not receive, counts too.
        assert answered <= scraped(port)[LISTS] <= answered + 4

        # So is every other number.
        assert eventually(lambda: scraped(port)["taskcore_workers"] == 2, within=5)
        every = {f"taskcore_{each.name}" for each in ALL}

        def missing() -> set[str]:
            return every - {name.partition("{")[0] for name in scraped(port)}

        assert eventually(lambda: not missing(), within=20), missing()
        assert scraped(port)["taskcore_cpu_seconds_total"] > 0

        # Never on the public port, and the address is for one server.
        with Client(api.port) as client:
            assert client.call("GET", "/metrics").status == 404
        with Api(folder, METRICS_ADDRESS=f"127.0.0.1:{port}") as second:
            assert second.process.wait(20) == 78
            assert "METRICS_ADDRESS: cannot listen on 127.0.0.1" in second.log
        assert api.stop() == 0
