"""Rows as tables: medians, and ratios between runs of the same round."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TypeVar

from benchmarks.results import Results
from benchmarks.rows import (
    ALONE,
    CHANGES,
    CHANGES_LIMIT,
    LOGS,
    ONE_WORKER,
    TELLS_NOTHING,
    Growth,
    Logged,
    Row,
    Startup,
    Told,
)

Key = TypeVar("Key")
Item = TypeVar("Item")
_OURS = "ours"


def parts(results: Results) -> Iterator[tuple[str, Iterator[str]]]:
    """The tables of what was measured, and their titles."""
    if results.comparison:
        yield "Contestants", comparison(results)
    if results.telemetry:
        yield "What telling of itself costs", telemetry(results.telemetry)
    if results.workers:
        yield "Several workers, 64 clients", workers(results.workers)
    if results.growth:
        yield "Few tasks and many, one client", growth(results.growth)
    if results.long_logs:
        yield "Following an account", following(results.long_logs, results.told)
    if results.startup:
        yield "Start", startup(results.startup)


def comparison(results: Results) -> Iterator[str]:
    """A line for each contestant in each workload with each number of clients."""
    trips = {(t.workload, t.connections, t.contestant): t.per_request for t in results.round_trips}
    yield (
        "| workload | clients | contestant | req/s | ours, of that | p50, ms | p99, ms"
        " | server CPU, us | database CPU, us | round trips | RSS, MiB | failed |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    cells = _grouped(results.comparison, lambda row: (row.workload, row.connections))
    for (workload, connections), cell in cells.items():
        sides = _grouped(cell, lambda row: row.contestant)
        for name in sorted(sides, key=lambda name: name != _OURS):
            rows = sides[name]
            measured = (
                [""] * 7
                if name == ALONE
                else [
                    f"{median(row.p50_ms for row in rows):.2f}",
                    f"{median(row.p99_ms for row in rows):.1f}",
                    f"{median(row.server_cpu_us for row in rows):.0f}",
                    f"{median(row.database_cpu_us for row in rows):.0f}",
                    f"{trips.get((workload, connections, name), '')}",
                    f"{median(row.resident_mib for row in rows):.0f}",
                    f"{sum(row.failed for row in rows)}",
                ]
            )
            yield _line(
                workload,
                connections,
                name,
                f"{median(row.per_second for row in rows):.0f}",
                "" if name == _OURS else _ratio(sides.get(_OURS, []), rows),
                *measured,
            )


def telemetry(rows: Sequence[Row]) -> Iterator[str]:
    """One line per workload and kind, compared with none in the same round."""
    yield "| workload | telling | req/s | of those without | server CPU, us | times that without |"
    yield "|---|---|---|---|---|---|"
    for workload, name, side, without in _beside(rows, TELLS_NOTHING):
        yield _line(
            workload,
            name,
            f"{median(row.per_second for row in side):.0f}",
            _ratio(side, without),
            f"{median(row.server_cpu_us for row in side):.0f}",
            _ratio(side, without, value=lambda row: row.server_cpu_us),
        )


def workers(rows: Sequence[Row]) -> Iterator[str]:
    """The CPU of server and database for a request, and its multiples with more workers."""
    yield "| workload | servers of | req/s | server CPU, us | database CPU, us | both, of one |"
    yield "|---|---|---|---|---|---|"
    for workload, name, side, one in _beside(rows, ONE_WORKER):
        yield _line(
            workload,
            name,
            f"{median(row.per_second for row in side):.0f}",
            f"{median(row.server_cpu_us for row in side):.0f}",
            f"{median(row.database_cpu_us for row in side):.0f}",
            _ratio(side, one, value=lambda row: row.cpu_us),
        )


def growth(rows: Sequence[Growth]) -> Iterator[str]:
    """The p50 of each workload with the fewest tasks, and its multiples with more tasks."""
    sizes = sorted({row.tasks for row in rows})
    yield _line("p50 of", f"{sizes[0]:,} tasks, ms", *(f"{size:,} tasks" for size in sizes[1:]))
    yield "|---|" + "---|" * len(sizes)
    for workload, cell in _grouped(rows, lambda row: row.workload).items():
        runs = _grouped(cell, lambda row: row.tasks)
        few = [row.p50_ms for row in runs[sizes[0]]]
        times = (
            _times([row.p50_ms for row in runs[size]], few) if size in runs else ""
            for size in sizes[1:]
        )
        yield _line(workload, f"{median(few):.2f}", *times)


def following(runs: Sequence[Logged], streams: Sequence[Told]) -> Iterator[str]:
    """The multiples of a long log, and of `changes` to a list; how late streams tell changes."""
    few, many = LOGS
    yield _line("p50 of", f"{few:,} events, ms", f"{many:,} events")
    yield "|---|---|---|"
    medians: dict[tuple[str, int], list[float]] = {}
    for workload, cell in _grouped(runs, lambda run: run.workload).items():
        sides = _grouped(cell, lambda run: run.events)
        for count, side in sides.items():
            medians[workload, count] = [run.p50_ms for run in side]
        ratio = _times(medians[workload, many], medians[workload, few])
        yield _line(workload, f"{median(medians[workload, few]):.2f}", ratio)
    yield ""
    yield _line("following", "")
    yield "|---|---|"
    for count in LOGS:
        ratio = _times(medians[CHANGES, count], medians["list", count])
        yield _line(f"{CHANGES}, of {count:,} events: of a list of {CHANGES_LIMIT}", ratio)
    for stream in streams:
        times = sorted(stream.milliseconds)
        last = times[len(times) * 99 // 100]
        shown = f"{median(times):.0f} ms, p99 {last:.0f} ms"
        yield _line(f"a change by {stream.process}, until a stream tells it", shown)


def _times(these: Sequence[float], those: Sequence[float]) -> str:
    return _spread([one / other for one, other in zip(these, those, strict=True)], 2)


def startup(times: Startup) -> Iterator[str]:
    yield _line("start-up", "")
    yield "|---|---|"
    yield _line("`taskcli --help`", f"{times.help_s:.2f} s")
    yield _line("first start, to the first response", f"{times.first_start_s:.2f} s")
    yield _line("second start", f"{_spread(times.second_starts_s, 2)} s")
    yield _line("an idle worker", f"{times.idle_worker_mib:.0f} MiB")


def _beside(
    rows: Sequence[Row], other: str
) -> Iterator[tuple[str, str, Sequence[Row], Sequence[Row]]]:
    """Workload, contestant, its rows, and those of the `other` contestant in that workload."""
    for workload, cell in _grouped(rows, lambda row: row.workload).items():
        sides = _grouped(cell, lambda row: row.contestant)
        for name, side in sides.items():
            yield workload, name, side, sides[other]


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> Mapping[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _ratio(
    ours: Sequence[Row],
    others: Sequence[Row] | None,
    *,
    digits: int = 2,
    value: Callable[[Row], float] = lambda row: row.per_second,
) -> str:
    """The median of the rounds' ratios, with the minimum and maximum.

    A round in which a busy machine has let one of the two answer nothing does not count.
    """
    rounds = {row.repetition: row for row in others or [] if row.per_second}
    pairs = [(row, rounds[row.repetition]) for row in ours if row.repetition in rounds]
    ratios = [value(row) / value(other) for row, other in pairs if row.per_second]
    return _spread(ratios, digits)


def _spread(ratios: Sequence[float], digits: int) -> str:
    if not ratios:
        return "-"
    least, most = min(ratios), max(ratios)
    return f"**{median(ratios):.{digits}f}** ({least:.{digits}f} to {most:.{digits}f})"
