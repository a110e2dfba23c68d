"""A real Prometheus before a server of two workers, one of which is killed under load.

    python -m tests.metrics.run

Prometheus is Debian's, and only this needs it. Its configuration is that of docs/deployment.md but
for the addresses and a shorter interval. Every expression of the dashboard must
give a number, every alert be evaluated, and the count of requests be exact.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tests.debian import ROOT, Folder, documented, missing, say, working_folder
from tests.processes import eventually
from tests.server.load import Load, list_tasks
from tests.server.running import Api, free_port

_PROMETHEUS, _PROMTOOL = "/usr/bin/prometheus", "/usr/bin/promtool"
LOADED_FOR = 12.0  # seconds
LISTS = 'taskcore_requests_total{method="GET",route="/api/v1/tasks",status="200"}'


def prometheus(folder: Folder, target: int) -> int:
    """The port of one that asks the target."""
    port = free_port()
    rules = folder.write("rules.yml", documented("yaml", "Metrics", 1))
    scrape = documented("yaml", "Metrics").replace("127.0.0.1:9100", f"127.0.0.1:{target}")
    scrape = scrape.replace("15s", "1s")
    text = f"global: {{evaluation_interval: 1s}}\nrule_files: [{rules}]\n{scrape}"
    config = folder.write("prometheus.yml", text)
    folder.run(_PROMTOOL, "check", "config", config)
    data = f"--storage.tsdb.path={folder.path}/tsdb"
    address = f"--web.listen-address=127.0.0.1:{port}"
    folder.start("prometheus", _PROMETHEUS, f"--config.file={config}", data, address)
    return port


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
    if refusal := missing(dict.fromkeys((_PROMETHEUS, _PROMTOOL), "prometheus")):
        say(refusal)
        return 1
    with working_folder() as folder:
        address = free_port()
        listening = {"METRICS_ADDRESS": f"127.0.0.1:{address}"}
        with Api(folder.path / "api", WORKERS="2", **listening) as api:
            port = prometheus(folder, address)
            token = api.ready().register()
            url = f"http://127.0.0.1:{address}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                subprocess.run([_PROMTOOL, "check", "metrics"], input=answer.read(), check=True)  # noqa: S603
            with Load(api, token, list_tasks, reconnect=True, pause=0.005) as load:
                time.sleep(LOADED_FOR / 2)
                os.kill(api.workers[0], signal.SIGKILL)
                time.sleep(LOADED_FOR / 2)
                without = [each for each in expressions() if not asked(port, each)]
            answered = sum(each.status == 200 for each in load.exchanges)
            # What the killed worker had answered, and its client did not receive, counts too.
            exact = eventually(lambda: answered <= value(port, LISTS) <= answered + 4, within=30)
            say(f"{answered} lists were answered, Prometheus knows of {value(port, LISTS):.0f}")
            say(f"workers started: {value(port, 'taskcore_worker_starts_total'):.0f}")
            say(f"expressions of the dashboard without a sample: {without}")
            say(f"alerts: {alerts(port)}")
            done = exact and not without and set(alerts(port).values()) == {"ok"}
            return 0 if done and never_went_back(port) else 1


if __name__ == "__main__":
    sys.exit(main())
