"""The three figures of docs/performance.md, from the results of a run."""

from collections.abc import Iterator
from statistics import median

from benchmarks.results import Results
from benchmarks.rows import CURVE, OF_SMALL, SMALL
from benchmarks.svg import Curve, Panel, drawn

_CONTESTANTS = {
    "ours": "blue",
    "Go": "orange",
    "Fastify": "green",
    "floor": "grey",
    "seed stack": "pink",
}
_KINDS = {"list": "blue", "filter": "green", "search": "orange", "get": "blue", "edit": "orange"}


def figures(results: Results) -> Iterator[tuple[str, str]]:
    """The names of the files, and their content."""
    yield (
        "throughput.svg",
        drawn("Requests per second, over the number of clients", _panels(results, "per_second")),
    )
    yield (
        "latency.svg",
        drawn("p50 in milliseconds, over the number of clients", _panels(results, "p50_ms")),
    )
    yield (
        "size.svg",
        drawn(
            f"p50 in milliseconds of an account of {SMALL} tasks, over all tasks of the table",
            [
                _of_size(results, "One client, many tasks", ("list", "filter", "search")),
                _of_size(results, "One client, one task", ("get", "edit")),
            ],
            from_zero=True,
        ),
    )


def _panels(results: Results, value: str) -> list[Panel]:
    counts = sorted({row.connections for row in results.comparison})
    panels = []
    for workload in CURVE:
        curves = []
        for name, colour in _CONTESTANTS.items():
            found = [(n, results.median(name, (workload, n), value)) for n in counts]
            points = [(float(n), each) for n, each in found if each]
            if points:
                curves.append(Curve(name, colour, points, is_ours=name == "ours"))
        panels.append(Panel(f"{workload} a task", "clients", curves))
    return panels


def _of_size(results: Results, title: str, kinds: tuple[str, ...]) -> Panel:
    names = {kind: workload for workload, kind in OF_SMALL.items() if kind in kinds}
    curves = []
    for kind, workload in names.items():
        points: dict[int, list[float]] = {}
        for row in results.growth:
            if row.workload == workload:
                points.setdefault(row.tasks, []).append(row.p50_ms)
        medians = [(float(size), median(times)) for size, times in sorted(points.items())]
        if medians:
            curves.append(Curve(kind, _KINDS[kind], medians))
    return Panel(title, "tasks in the table", curves)
