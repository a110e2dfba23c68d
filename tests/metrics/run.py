"""A real Prometheus before a server of two workers, one of which is killed under load.

    python -m tests.metrics.run

Prometheus is Debian's, and only this needs it. Its configuration is that of docs/deployment.md but
for the addresses and a shorter interval. Every expression of the dashboard must
give a number, every alert be evaluated, and the count of requests be exact.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.processes import eventually
from tests.server.load import Load, list_tasks
from tests.server.running import Api, free_port

ROOT = Path(__file__).parents[2]
LOADED_FOR = 12.0  # seconds
LISTS = 'taskcore_requests_total{method="GET",route="/api/v1/tasks",status="200"}'


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def documented(page: str, begin: str) -> str:
    found = re.search(rf"```yaml\n({begin}:.*?)```", page, re.DOTALL)
    assert found, f"the document has no {begin}"
    return found[1]


def tool(*command: str, stdin: str = "") -> None:
    done = subprocess.run(  # noqa: S603 - Debian's
        command, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[int]:
    page = (ROOT / "docs/deployment.md").read_text()
    rules, config, port = folder / "rules.yml", folder / "prometheus.yml", free_port()
    rules.write_text(documented(page, "groups"))
    scrape = documented(page, "scrape_configs").replace("127.0.0.1:9100", f"127.0.0.1:{target}")
    scrape = scrape.replace("15s", "1s")
    config.write_text(f"global: {{evaluation_interval: 1s}}\nrule_files: [{rules}]\n{scrape}")
    tool("/usr/bin/promtool", "check", "config", str(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - Debian's
            [
                *("/usr/bin/prometheus", f"--config.file={config}"),
                *(f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"),
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(20)


def asked(port: int, expression: str) -> list[Any]:
    """The samples; none while Prometheus is starting."""
    query = urllib.parse.urlencode({"query": expression})
    with suppress(OSError):
        url = f"http://127.0.0.1:{port}/api/v1/query?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
            return found
    return []


def value(port: int, expression: str) -> float:
    samples = asked(port, expression)
    return float(samples[0]["value"][1]) if samples else 0.0


def expressions() -> Iterator[str]:
    """Those of the dashboard, as Grafana would ask."""
    dashboard = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "10s")
            yield text.replace("$job", "taskcore").replace("$instance", ".*")


def never_went_back(port: int) -> bool:
    return value(port, f"resets({LISTS}[5m])") == 0


def alerts(port: int) -> dict[str, str]:
    """Whether each can be evaluated: `ok`, also while there is nothing to alert of."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/rules", timeout=5) as answer:
        (group,) = json.load(answer)["data"]["groups"]
    return {rule["name"]: rule["health"] for rule in group["rules"]}


def main() -> int:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder, address = Path(name), free_port()
        with (
            Api(folder / "api", WORKERS="2", METRICS_ADDRESS=f"127.0.0.1:{address}") as api,
            prometheus(folder, address) as port,
        ):
            token = api.ready().register()
            url = f"http://127.0.0.1:{address}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                tool("/usr/bin/promtool", "check", "metrics", stdin=answer.read().decode())
            with Load(api, token, list_tasks, reconnect=True, pause=0.005) as load:
                time.sleep(LOADED_FOR / 2)
                os.kill(api.workers[0], signal.SIGKILL)
                time.sleep(LOADED_FOR / 2)
                without = [each for each in expressions() if not asked(port, each)]
            answered = sum(each.status == 200 for each in load.exchanges)
            # What the killed worker had answered, and its client did not receive, counts too.
            exact = eventually(lambda: answered <= value(port, LISTS) <= answered + 4, within=5)
            say(f"{answered} lists were answered, Prometheus knows of {value(port, LISTS):.0f}")
            say(f"workers started: {value(port, 'taskcore_worker_starts_total'):.0f}")
            say(f"expressions of the dashboard without a sample: {without}")
            say(f"alerts: {alerts(port)}")
            done = exact and not without and set(alerts(port).values()) == {"ok"}
            return 0 if done and never_went_back(port) else 1


if __name__ == "__main__":
    sys.exit(main())
