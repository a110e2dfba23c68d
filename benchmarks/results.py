"""The results of a run, as they are kept: JSON with a row on each line."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.rows import Growth, Logged, RoundTrips, Row, Startup, Told

FOLDER = Path(__file__).parent / "results"
Cell = tuple[str, int]
"""A workload and a number of clients."""
_ROWS: Mapping[str, type[Any]] = {
    "comparison": Row,
    "telemetry": Row,
    "workers": Row,
    "round_trips": RoundTrips,
    "growth": Growth,
    "long_logs": Logged,
    "told": Told,
}


@dataclass
class Results:
    """What is missing was not measured."""

    at: str
    """When it began."""
    commit: str
    cores: int
    python: str
    system: str
    load: float = 0.0
    """Of the machine before the run, as `uptime` shows it."""
    seconds: float = 0.0
    comparison: list[Row] = field(default_factory=list)
    telemetry: list[Row] = field(default_factory=list)
    workers: list[Row] = field(default_factory=list)
    round_trips: list[RoundTrips] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    long_logs: list[Logged] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    startup: Startup | None = None

    @classmethod
    def read(cls, file: Path) -> Self:
        kept = json.loads(file.read_text())
        for name, kind in _ROWS.items():
            kept[name] = [kind(**row) for row in kept.get(name, [])]
        if kept.get("startup"):
            kept["startup"] = Startup(**kept["startup"])
        return cls(**kept)

    def write(self, file: Path) -> None:
        parts = []
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, list):
                rows = ",\n".join(f"  {json.dumps(asdict(row))}" for row in value)
                text = f"[\n{rows}\n ]" if rows else "[]"
            else:
                text = json.dumps(value if each.name != "startup" or not value else asdict(value))
            parts.append(f' "{each.name}": {text}')
        file.write_text("{\n" + ",\n".join(parts) + "\n}\n")

    @property
    def file_name(self) -> str:
        return f"{self.at.replace(':', '')}.json"

    @property
    def failed(self) -> int:
        """How many requests."""
        compared = sum(row.failed for row in (*self.comparison, *self.telemetry, *self.workers))
        of_sizes = sum(run.failed for run in self.growth)
        return compared + of_sizes + sum(run.failed for run in self.long_logs)

    def median(self, contestant: str, cell: Cell, value: str = "per_second") -> float | None:
        """None if it was not measured."""
        found = [getattr(row, value) for row in self._rows(contestant) if _cell(row) == cell]
        return median(found) if found else None

    def ratios(self, of: str, to: str, value: str = "per_second") -> dict[Cell, list[float]]:
        """The multiples of one contestant's value that another's is, of each round of each cell.

        A round in which a busy machine has let one of the two answer nothing does not count.
        """
        others = {(_cell(row), row.repetition): row for row in self._rows(to) if row.per_second}
        found: dict[Cell, list[float]] = {}
        for row in self._rows(of):
            other = others.get((_cell(row), row.repetition))
            if other and row.per_second and getattr(other, value):
                ratio = getattr(row, value) / getattr(other, value)
                found.setdefault(_cell(row), []).append(ratio)
        return found

    def _rows(self, contestant: str) -> Sequence[Row]:
        rows = (*self.comparison, *self.workers)
        return [row for row in rows if row.contestant == contestant]


def _cell(row: Row) -> Cell:
    return row.workload, row.connections


def last_kept() -> Path | None:
    """The newest run that is part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "*.json"],  # noqa: S607 - the one on the PATH
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    names = sorted(listed.stdout.split())
    return FOLDER / names[-1] if names else None
