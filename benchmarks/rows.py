"""What is measured, as it is kept: a row for each run, and the names of what is compared.

It imports nothing of what is measured, so that the tests can read results without FastAPI.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# In the order in which they run.
WORKLOADS = (
    *("get", "list", "filter", "search", "create", "edit", "delete", "bulk", "changes"),
    *("log in", "refresh", "mix"),
)
CURVE = ("get", "edit")
"""The workloads that are measured with many numbers of clients."""
ALONE = "argon2id alone"
SMALL = 50
OF_SMALL = {
    f"{kind} of {SMALL} tasks": kind for kind in ("list", "filter", "search", "get", "edit")
}
"""Of accounts with SMALL tasks, whose size does not grow with the table."""
LOGS = (1_000, 1_000_000)
"""How many events the accounts have that are compared."""
CHANGES_LIMIT = 100
CHANGES = f"changes of the last {CHANGES_LIMIT}"
TELLS_NOTHING = "none"
ONE_WORKER, MANY_WORKERS = "one worker", {2: "two workers", 4: "four workers"}


@dataclass(frozen=True)
class Row:
    """One run of one contestant."""

    workload: str
    connections: int
    contestant: str
    repetition: int
    per_second: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    failed: int = 0
    server_cpu_us: float = 0.0
    """Of the server's processes, per request."""
    database_cpu_us: float = 0.0
    resident_mib: float = 0.0

    @property
    def cpu_us(self) -> float:
        return self.server_cpu_us + self.database_cpu_us


@dataclass(frozen=True)
class RoundTrips:
    workload: str
    connections: int
    contestant: str
    per_request: float


@dataclass(frozen=True)
class Growth:
    """One run with this many tasks in the database."""

    tasks: int
    workload: str
    repetition: int
    p50_ms: float
    failed: int


@dataclass(frozen=True)
class Logged:
    """One run on an account with this many events."""

    events: int
    workload: str
    repetition: int
    p50_ms: float
    failed: int


@dataclass(frozen=True)
class Told:
    """How long after the answers to the requests that made them changes reached a stream."""

    process: str
    milliseconds: Sequence[float]


@dataclass(frozen=True)
class Startup:
    help_s: float
    """The median of several runs of `taskcli --help`."""
    first_start_s: float
    """`taskcli serve` in an empty folder until `/readyz` responds: includes initdb."""
    second_starts_s: list[float]
    """The same in that folder, several times."""
    idle_worker_mib: float
