"""What we want of each run, and whether it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import Results
from benchmarks.rows import ALONE, MANY_WORKERS, ONE_WORKER, Startup

_HOT = ("get", "list", "create", "edit")


@dataclass(frozen=True)
class Target:
    """Multiples of another contestant's value that ours must reach, or must not exceed."""

    to: str
    said: str
    workloads: Sequence[str]
    connections: int
    bound: float
    value: str = "per_second"
    of: str = "ours"

    @property
    def is_least(self) -> bool:
        return self.value == "per_second"

    def measured(self, results: Results) -> dict[str, float]:
        found = results.ratios(self.of, self.to, self.value)
        return {
            workload: median(found[workload, self.connections])
            for workload in self.workloads
            if (workload, self.connections) in found
        }

    def holds(self, ratio: float) -> bool:
        return ratio >= self.bound if self.is_least else ratio <= self.bound


_ALL = ("get", "list", "filter", "search", "create", "edit", "delete", "changes", "mix")
TARGETS = (
    Target("floor", "p50 of the floor's", _HOT, 1, 2.0, "p50_ms"),
    Target("Fastify", "p50 of Fastify's", _HOT, 1, 2.5, "p50_ms"),
    Target("floor", "requests per second of the floor's", ("get", "list"), 32, 0.85),
    Target("floor", "requests per second of the floor's", ("create", "edit", "delete"), 32, 0.70),
    Target("Fastify", "requests per second of Fastify's", _ALL, 32, 1.2),
    Target("Go", "requests per second of Go's", ("get", "create", "edit"), 32, 0.5),
    Target(ALONE, "of argon2id alone", ("log in",), 32, 0.85),
    Target("seed stack", "p50 of the seed stack's", ("refresh",), 1, 1.0, "p50_ms"),
    Target("seed stack", "p99 of the seed stack's", ("refresh",), 1, 1.0, "p99_ms"),
    *(
        Target(ONE_WORKER, f"CPU with {name} of one's", _HOT, 64, 1.2, "cpu_us", name)
        for name in MANY_WORKERS.values()
    ),
)
_MB = 1024**2 / 1e6


def targets(results: Results) -> Iterator[str]:
    """A line for each target: what was measured, in bold where it does not hold."""
    for target in TARGETS:
        bound = f"{'at least' if target.is_least else 'at most'} {target.bound:g}"
        shown = [
            f"{workload} {_bold(f'{ratio:.2f}', holds=target.holds(ratio))}"
            for workload, ratio in target.measured(results).items()
        ]
        clients = "one client" if target.connections == 1 else f"{target.connections} clients"
        measured = ", ".join(shown) or "not measured"
        yield f"- {clients}, {target.said}, {bound} times: {measured}"
    if results.startup:
        yield f"- {', '.join(_start(results.startup))}"


def _start(times: Startup) -> Iterator[str]:
    for said, value, bound, unit in (
        ("second start", median(times.second_starts_s), 1.0, "s"),
        ("`taskcli --help`", times.help_s, 0.1, "s"),
        ("an idle worker", times.idle_worker_mib * _MB, 90.0, "MB"),
    ):
        shown = f"{value:.2f}" if unit == "s" else f"{value:.0f}"
        yield f"{said}, at most {bound:g} {unit}: {_bold(shown, holds=value <= bound)}"


def _bold(text: str, *, holds: bool) -> str:
    return text if holds else f"**{text}**"
