"""What a request costs with several workers, beside one."""

from dataclasses import replace

from benchmarks.contestants import OURS, Contestant
from benchmarks.data import Database
from benchmarks.rows import MANY_WORKERS, ONE_WORKER

_PORT = 8150
CLIENTS = 64
WORKLOADS = ("get", "list", "create", "edit")


def _with(number: int, name: str) -> Contestant:
    def environment(database: Database) -> dict[str, str]:
        return OURS.environment(database) | {"WORKERS": str(number)}

    return replace(OURS, name=name, port=_PORT + number, environment=environment)


CONTESTANTS = tuple(_with(number, name) for number, name in {1: ONE_WORKER, **MANY_WORKERS}.items())
