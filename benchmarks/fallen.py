"""What fell: this run beside the last one that was kept.

Machines differ, and one machine differs from hour to hour. So what is compared is not requests per
second but how many times the yardstick of the same run and round ours has.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comparison import ALONE

RESULTS = Path(__file__).parent / "results"
_FELL = 0.9  # of what it was
_YARDSTICKS = ("floor", ALONE, "seed stack", "Fastify", "Go")
_Cell = tuple[str, int]


@dataclass(frozen=True)
class Compared:
    workload: str
    connections: int
    yardstick: str
    then: Sequence[float]
    now: Sequence[float]

    @property
    def fell(self) -> bool:
        return median(self.now) < _FELL * median(self.then)

    @property
    def is_certain(self) -> bool:
        """Whether the spreads do not overlap."""
        return max(self.now) < min(self.then)


def last_kept() -> Path | None:
    """The newest run that is part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "*.json"],  # noqa: S607 - the one on the PATH
        cwd=RESULTS,
        capture_output=True,
        text=True,
        check=False,
    )
    names = sorted(listed.stdout.split())
    return RESULTS / names[-1] if names else None


def fallen(now: Mapping[str, Any], kept: Path | None) -> Iterator[str]:
    """What to print first."""
    if kept is None:
        yield "No run is kept yet, so nothing can have fallen."
        return
    then = json.loads(kept.read_text())
    both = list(_compared(then.get("comparison", []), now.get("comparison", [])))
    fell = sorted(
        (each for each in both if each.fell), key=lambda one: median(one.now) / median(one.then)
    )
    run = f"{kept.name} (commit {then['commit']})"
    if not fell:
        yield f"Nothing fell by a tenth, of {len(both)} cells, against {run}."
        return
    yield f"{len(fell)} of {len(both)} cells fell by a tenth or more against {run}:"
    yield ""
    yield "| workload | clients | beside | then | now | spreads |"
    yield "|---|---|---|---|---|---|"
    for each in fell:
        spreads = "apart" if each.is_certain else "overlap"
        cells = (each.workload, each.connections, each.yardstick, _spread(each.then))
        yield f"| {' | '.join(map(str, cells))} | {_spread(each.now)} | {spreads} |"


def ratios(rows: Sequence[Mapping[str, Any]], of: str, to: str) -> dict[_Cell, list[float]]:
    """Requests per second of one contestant, as multiples of another's in the same round."""
    sides: dict[str, dict[tuple[str, int, int], float]] = {of: {}, to: {}}
    for row in rows:
        if row["contestant"] in sides and row["per_second"]:
            place = (row["workload"], row["connections"], row["repetition"])
            sides[row["contestant"]][place] = row["per_second"]
    found: dict[_Cell, list[float]] = {}
    for place, value in sides[of].items():
        if other := sides[to].get(place):
            found.setdefault(place[:2], []).append(value / other)
    return found


def _compared(
    then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Iterator[Compared]:
    """Each cell that both runs have, by the first yardstick that both have."""
    known: set[_Cell] = set()
    for yardstick in _YARDSTICKS:
        before, after = (ratios(rows, "ours", yardstick) for rows in (then, now))
        for cell in after:
            if cell in before and cell not in known:
                known.add(cell)
                yield Compared(*cell, yardstick, before[cell], after[cell])


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
