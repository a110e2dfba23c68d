"""The second part: the same requests on few tasks and on many."""

import asyncio
import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contestants import OURS, OURS_PORT, serving
from benchmarks.data import TASKS_EACH, Database, People
from benchmarks.load import RUN, Call, Plan, wrk
from benchmarks.plans import LIMIT, Plans
from benchmarks.rows import OF_SMALL, Growth
from taskcore import Settings
from taskcore.wiring import upgrade_database

OWNERS = 100
# Sizes between are measured for the curves of OF_SMALL alone.
_MANY = 1_000_000
_SMALL_OWNERS = 20
OWN = (
    *("get", "list", "create", "edit", "delete", "log in", "refresh", "mix"),
    "own deep page by cursor",
)
_TASKS = f"{OURS.prefix}/tasks"
ADMIN = ("admin's first page", "admin's deep page by cursor")


@dataclass(frozen=True)
class _World:
    tasks: int
    port: int
    plans: dict[str, Plan]
    own: Plans
    small: Plans

    def plan(self, workload: str) -> Plan:
        if kind := OF_SMALL.get(workload):
            return self.small.plan(kind)
        return self.plans.get(workload) or self.own.plan(workload)

    def run(self, workload: str, repetition: int) -> Growth:
        plan = self.plan(workload)
        run = wrk(self.port, plan, connections=1, seconds=RUN)
        return Growth(self.tasks, workload, repetition, run.p50_ms, run.failed)


def grow(
    sizes: Sequence[int], repetitions: int, database: Database, folder: Path
) -> Iterator[Growth]:
    """Each size has a schema and a server of its own, so that the sizes can take turns."""
    with ExitStack() as stack:
        worlds = []
        for number, size in enumerate(sizes):
            there = database.in_schema(f"grown{number}")
            asyncio.run(_migrated(there))
            people = there.fill(OWNERS, each=size // OWNERS, small=_SMALL_OWNERS)
            server = replace(OURS, name=f"ours-{size}", port=OURS_PORT + 1 + number)
            stack.enter_context(serving(server, there, folder))
            own = Plans(server, there, people, folder)
            smalls = replace(people, owners=people.small)
            small = Plans(replace(server, name=f"{server.name}-small"), there, smalls, folder)
            deep = dict(_deep(server.name, there, people, folder))
            worlds.append(_World(size, server.port, deep, own, small))
        ends = [worlds[0], *(world for world in worlds if world.tasks >= _MANY)]
        for workload in (*OWN, *ADMIN, *OF_SMALL):
            turns = worlds if workload in OF_SMALL else ends
            for world in turns:
                world.run(workload, 0)  # to warm up
            for repetition in range(repetitions):
                for world in turns:
                    yield world.run(workload, repetition)


async def _migrated(database: Database) -> None:
    settings = {"DATABASE_URL": database.url, "SECRET_KEY": "for migrations only, signs nothing"}
    await upgrade_database(Settings.from_env(settings))


def _deep(
    name: str, database: Database, people: People, folder: Path
) -> Iterator[tuple[str, Plan]]:
    tasks = database.task_ids("tasks", [person.id for person in people.owners])
    oldest = min(min(ids) for ids in tasks.values())

    def reading_on(token: str, before: int) -> Call:
        cursor = urlsafe_b64encode(f"tasks {before}".encode()).rstrip(b"=").decode()
        return Call("GET", f"{_TASKS}?limit={LIMIT}&cursor={cursor}", token)

    def plan(workload: str, calls: Sequence[Call]) -> tuple[str, Plan]:
        slug = "".join(c if c.isalnum() else "-" for c in workload)
        return workload, Plan.of(folder / f"{name}-{slug}.plan", calls)

    deep = [
        reading_on(person.token, sorted(tasks[person.id])[LIMIT + TASKS_EACH // 2])
        for person in people.owners
    ]
    yield plan(OWN[-1], deep)
    admin = people.admin.token
    yield plan(ADMIN[0], [Call("GET", f"{_TASKS}?limit={LIMIT}", admin)])
    ends = [reading_on(admin, oldest + LIMIT + random.randrange(TASKS_EACH)) for _ in range(100)]
    yield plan(ADMIN[1], ends)
