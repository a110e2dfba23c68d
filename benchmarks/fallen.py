"""What fell: this run beside the last one that was kept.

Machines differ, and one machine differs from hour to hour. So what is compared is not requests per
second but how many times those of a yardstick, in the same run and round, ours are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import Cell, Results
from benchmarks.rows import ALONE

_FELL = 0.9  # of what it was
_YARDSTICKS = ("floor", ALONE, "seed stack", "Fastify", "Go")


@dataclass(frozen=True)
class Compared:
    """One cell of both runs."""

    workload: str
    connections: int
    yardstick: str
    then: Sequence[float]
    now: Sequence[float]

    @property
    def change(self) -> float:
        return median(self.now) / median(self.then)

    @property
    def spreads(self) -> str:
        return "apart" if max(self.now) < min(self.then) else "overlap"


def fallen(now: Results, kept: Results | None) -> Iterator[str]:
    """What to print first."""
    if kept is None:
        yield "No run is kept yet, so nothing can have fallen."
        return
    both = list(compared(kept, now))
    fell = sorted((each for each in both if each.change < _FELL), key=lambda each: each.change)
    run = f"the kept run of {kept.at[:10]} (commit {kept.commit})"
    if not fell:
        yield f"Nothing fell by a tenth, of {len(both)} cells, against {run}."
        return
    yield f"{len(fell)} of {len(both)} cells fell by a tenth or more against {run}:"
    yield ""
    yield "| workload | clients | times | then | now | spreads |"
    yield "|---|---|---|---|---|---|"
    for each in fell:
        cells = (each.workload, each.connections, each.yardstick, _spread(each.then))
        yield f"| {' | '.join(map(str, cells))} | {_spread(each.now)} | {each.spreads} |"


def compared(then: Results, now: Results) -> Iterator[Compared]:
    """Each cell that both runs have, by the first yardstick that both have."""
    known: set[Cell] = set()
    for yardstick in _YARDSTICKS:
        before, after = (run.ratios("ours", yardstick) for run in (then, now))
        for cell, values in after.items():
            if cell in before and cell not in known:
                known.add(cell)
                yield Compared(*cell, yardstick, before[cell], values)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
