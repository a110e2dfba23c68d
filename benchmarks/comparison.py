"""The first part: all contestants, in turns."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks import agreement
from benchmarks.contestants import FASTIFY, GO, OURS, SEED, Contestant, serving
from benchmarks.data import Database, People
from benchmarks.hashing import argon2_alone
from benchmarks.load import RUN, metered, resident_mib, settled, wrk
from benchmarks.plans import LIMIT, Plans
from benchmarks.rows import ALONE, Row

# Requests in flight at the end of a run are not counted: a large share of a slow server's few.
_SLOWEST, _PER_CLIENT = 2.0, 0.0375
# Hashing makes a login slow, so its runs are longer. The seed stack runs with one client only: its
# first response takes four seconds with 32 clients.
_LOGGING_IN = {(SEED, 1): 1.0, (OURS, 1): 1.0, (OURS, 32): 2.5}
_WARMING = ("get", "list", "filter", "search", "create", "edit", "changes")
_ADDS_AND_REMOVES = {"create", "delete", "bulk", "mix"}


@dataclass(frozen=True)
class Grid:
    """Which workloads to run, with how many clients, how often."""

    workloads: Sequence[str]
    connections: Sequence[int]
    repetitions: int


@dataclass(frozen=True)
class Side:
    """A contestant that is running."""

    contestant: Contestant
    plans: Plans
    server: int
    postmaster: int

    def warm_up(self, workloads: Collection[str]) -> None:
        """Opens connections, prepares and compiles what is asked often, loads pages into memory."""
        for workload in _WARMING:
            if workload in workloads and workload in self.contestant.can:
                wrk(self.contestant.port, self.plans.plan(workload), connections=32, seconds=RUN)

    def runs(self, workload: str, connections: int) -> bool:
        if workload == "log in":
            return (self.contestant, connections) in _LOGGING_IN
        return workload in self.contestant.can

    def row(self, workload: str, connections: int, repetition: int) -> Row:
        plan = self.plans.plan(workload)
        seconds = RUN
        if self.contestant is SEED:
            seconds = min(max(connections * _PER_CLIENT, RUN), _SLOWEST)
        if workload == "log in":
            seconds = _LOGGING_IN[self.contestant, connections]
        with metered(self.server) as server, metered(self.postmaster) as database:
            run = wrk(self.contestant.port, plan, connections=connections, seconds=seconds)
        # Requests still in flight must not cost the next contestant CPU.
        settled(self.server, self.postmaster)
        requests = max(run.requests, 1)
        return Row(
            workload,
            connections,
            self.contestant.name,
            repetition,
            per_second=round(run.per_second, 1),
            p50_ms=run.p50_ms,
            p99_ms=run.p99_ms,
            failed=run.failed,
            server_cpu_us=round(server[0] / requests * 1e6, 1),
            database_cpu_us=round(database[0] / requests * 1e6, 1),
            resident_mib=round(resident_mib(self.server), 1),
        )


def compare(
    grids: Sequence[Grid],
    contestants: Sequence[Contestant],
    database: Database,
    people: People,
    postmaster: int,
    folder: Path,
    limit: int = LIMIT,
) -> Iterator[Row]:
    """Interleaved, so that disturbances of the machine affect all contestants.

    `limit` is of tasks in a list.
    """
    with ExitStack() as stack:
        sides = [
            Side(
                contestant,
                Plans(contestant, database, people, folder, limit=limit),
                stack.enter_context(serving(contestant, database, folder)),
                postmaster,
            )
            for contestant in contestants
        ]
        asked = {workload for grid in grids for workload in grid.workloads}
        _agree(sides)
        for side in sides:
            side.warm_up(asked)
        newest = {table: database.newest(table) for table in (c.table for c in contestants)}
        for connections, workload, repetition in _cells(grids):
            first = repetition % len(sides)  # the order changes
            turns = [*sides[first:], *sides[:first]]
            yield from _round(turns, workload, connections, repetition)
            if workload in _ADDS_AND_REMOVES:
                for table, task_id in newest.items():
                    database.delete_after(table, task_id)


def _agree(sides: Sequence[Side]) -> None:
    speakers = {side.contestant: agreement.Speaker(side.contestant, side.plans) for side in sides}
    for rival in (FASTIFY, GO):
        if rival in speakers:
            agreement.check(speakers[OURS], speakers[rival])


def _cells(grids: Sequence[Grid]) -> Iterator[tuple[int, str, int]]:
    for grid in grids:
        yield from product(grid.connections, grid.workloads, range(grid.repetitions))


def _round(
    sides: Sequence[Side], workload: str, connections: int, repetition: int
) -> Iterator[Row]:
    for side in sides:
        if side.runs(workload, connections):
            yield side.row(workload, connections, repetition)
    if workload == "log in":
        yield Row(workload, connections, ALONE, repetition, argon2_alone(seconds=1.0))
