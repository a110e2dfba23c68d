"""Rows as tables: medians, and ratios between runs of the same round."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TypeVar

from benchmarks import telemetry as telling
from benchmarks.comparison import ALONE, Row
from benchmarks.following import CHANGES, LIMIT, LOGS, Logged, Told
from benchmarks.growth import Growth
from benchmarks.roundtrips import RoundTrips
from benchmarks.startup import Startup

Key = TypeVar("Key")
Item = TypeVar("Item")
_OURS, _FLOOR, _SEED = "ours", "floor", "seed stack"


def comparison(rows: Sequence[Row], trips: Sequence[RoundTrips]) -> Iterator[str]:
    """One line per workload and number of clients."""
    cells = _grouped(rows, lambda row: (row.workload, row.connections))
    waits = {(t.workload, t.connections, t.contestant): t.per_request for t in trips}
    yield (
        "| workload | clients | ours, req/s | of the floor | times the seed stack"
        " | p50, ms: ours / floor / seed | p99, ms | server CPU, us | database CPU, us"
        " | round trips | RSS, MiB | failed |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (workload, connections), cell in cells.items():
        sides = _grouped(cell, lambda row: row.contestant)
        ours = sides[_OURS]
        ceiling = sides.get(_FLOOR) or sides.get(ALONE)
        shown = [sides.get(name, []) for name in (_OURS, _FLOOR, _SEED)]
        waited = [waits.get((workload, connections, name)) for name in (_OURS, _FLOOR, _SEED)]
        yield _line(
            workload,
            connections,
            f"{median(row.per_second for row in ours):.0f}",
            _ratio(ours, ceiling) + (" (argon2id)" if ALONE in sides else ""),
            _ratio(ours, sides.get(_SEED), digits=1),
            _medians(shown, lambda row: row.p50_ms, 2),
            _medians(shown, lambda row: row.p99_ms, 1),
            _medians(shown, lambda row: row.server_cpu_us, 0),
            _medians(shown, lambda row: row.database_cpu_us, 0),
            " / ".join("-" if trip is None else f"{trip:.2f}" for trip in waited),
            _medians(shown, lambda row: row.resident_mib, 0),
            " / ".join(str(sum(row.failed for row in rows)) for rows in shown),
        )


def telemetry(rows: Sequence[Row]) -> Iterator[str]:
    """One line per workload and kind, compared with none in the same round."""
    yield "| workload | telling | req/s | of those without | server CPU, us | times that without |"
    yield "|---|---|---|---|---|---|"
    for workload, cell in _grouped(rows, lambda row: row.workload).items():
        sides = _grouped(cell, lambda row: row.contestant)
        for name, side in sides.items():
            yield _line(
                workload,
                name,
                f"{median(row.per_second for row in side):.0f}",
                _ratio(side, sides[telling.NONE]),
                f"{median(row.server_cpu_us for row in side):.0f}",
                _ratio(side, sides[telling.NONE], value=lambda row: row.server_cpu_us),
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
            _spread([row.p50_ms / least for row, least in zip(runs[size], few, strict=True)], 2)
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
        yield _line(f"{CHANGES}, of {count:,} events: of a list of {LIMIT}", ratio)
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
    yield _line("first start, to the first response", f"{times.first_start_s} s")
    yield _line("second start", f"{_spread(times.second_starts_s, 2)} s")
    yield _line("an idle worker", f"{times.idle_worker_mib:.0f} MiB")


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


def _medians(sides: Sequence[Sequence[Row]], value: Callable[[Row], float], digits: int) -> str:
    return " / ".join(
        f"{median(value(row) for row in rows):.{digits}f}" if rows else "-" for rows in sides
    )
