"""As which user a command on tasks acts, and how it names its options in a refusal."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Annotated, Self, TypeVar, cast

from cyclopts import Parameter, Token

from taskcli.arguments import USER, Whole, whole
from taskcli.exits import Usage
from taskcli.output import encoded
from taskcli.running import operator, with_core
from taskcli.users import find_user
from taskcore import (
    Actor,
    Core,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    Settings,
    Task,
    TaskId,
    UserId,
)
from taskcore.domain.bulk import MAX_OPERATIONS
from taskcore.domain.dues import zone
from taskcore.domain.printable import quoted
from taskcore.domain.tasks import TaskChanges

Number = Annotated[Whole, Parameter(name="ID", help="The task.")]


def _numbers(_: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    for token in tokens:
        if re.fullmatch(r"[0-9]+(,[0-9]*)+", token.value):
            raise ValueError(f"{quoted(token.value)} has commas: divide several numbers by blanks")
    if len(numbers := dict.fromkeys(whole(token.value) for token in tokens)) > MAX_OPERATIONS:
        raise ValueError(f"takes at most {MAX_OPERATIONS} ids at once")
    return tuple(numbers)


Numbers = Annotated[
    tuple[int, ...],
    Parameter(
        name="ID...", converter=_numbers, help="The task, or several: all are done, or none."
    ),
]
As = Annotated[
    str | None,
    Parameter(
        name="--as", metavar=USER, help="Act as this user; TASKCLI_AS does it for all commands."
    ),
]
Key = Annotated[
    str | None,
    Parameter(
        name="--idempotency-key",
        metavar="KEY",
        show_default=False,
        help="For scripts: with a key of your choice the same command is carried out once within"
        " 24 hours, and prints the same each time. Not for the operator.",
    ),
]

Result = TypeVar("Result")

# Of the fields of a task, and of what several commands take.
_OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in (*TaskChanges.__annotations__, "cursor", "limit", "idempotency_key")
} | {"owner_id": "--owner", "labels": "--label", "due_date": "--due", "due_at": "--due"}
_NO_MORE: Mapping[str, str] = {}
# For details in which the core names other fields.
_DETAILS = {
    "owner_required": "name the user whose tasks to filter, sort or search, here or with --as (an"
    " administrator always here, themselves too)",
    "relevance_without_q": "relevance needs --search",
    "time_zone_without_due_at": "belongs to a due that has a time; give that too, with --due",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Whose:
    """Whose tasks a list has."""

    owner: Annotated[str | None, Parameter(metavar=USER, help="Only this user's.")] = None
    as_user: As = None

    def require(self, what: str) -> None:
        """Raises Usage for the operator, who has no tasks."""
        if self.owner is None and acting_user(self.as_user) is None:
            raise Usage(f"name the user whose {what} you mean, with --owner {USER} or --as {USER}")


OF_ALL = Whose()


@dataclass(frozen=True, slots=True)
class Reader:
    """The actor who reads a list, whose tasks are in it, and when."""

    actor: Actor
    owner_id: UserId | None
    """None for the actor's own tasks, and for those of all users."""
    now: datetime

    @classmethod
    async def of(cls, core: Core, actor: Actor, owner: str | None) -> Self:
        """The operator reads in the time zone of the owner. Raises as `find_user`."""
        now = core.tasks.clock.now()
        if owner is None:
            return cls(actor, None, now)
        found = await find_user(core, owner)
        return cls(_living_in(actor, found.time_zone), found.id, now)

    @property
    def zone(self) -> tzinfo:
        return zone(self.actor.time_zone)


def acting_user(as_user: str | None) -> str | None:
    """The user of --as, or else of TASKCLI_AS. None: the operator. Raises Misconfigured."""
    return Settings.load().acts_as if as_user is None else as_user


async def find_actor(core: Core, reference: str | None) -> Actor:
    """The user, or the operator.

    Raises NotFound, and Forbidden for a deactivated user.
    """
    if reference is None:
        return operator()
    user = await find_user(core, reference)
    if not user.is_active:
        raise Forbidden(f"{user.email} is deactivated and may do nothing")
    return Actor(user.id, user.role, time_zone=user.time_zone, origin=operator().origin)


async def in_owners_zone(core: Core, actor: Actor, task: Task) -> Actor:
    """Return the actor; the operator with the time zone of the task's owner. Raises NotFound."""
    if actor.user_id is not None:
        return actor
    owner = await core.accounts.get(operator(), task.owner_id)
    return _living_in(actor, owner.time_zone)


def _living_in(actor: Actor, time_zone: str) -> Actor:
    return replace(actor, time_zone=time_zone) if actor.user_id is None else actor


GetTask = Callable[[Core, Actor, int], Awaitable[Task]]


async def get_task(core: Core, actor: Actor, task_id: int) -> Task:
    """Raises NotFound, also for a task that the actor may not see."""
    try:
        return await core.tasks.get(actor, TaskId(task_id))
    except NotFound:
        pass
    try:
        await core.tasks.get_trashed(actor, TaskId(task_id))
    except NotFound:
        raise NotFound(f"there is no task {task_id}") from None
    raise NotFound(
        f"task {task_id} is in the trash; `taskcli tasks restore {task_id}` takes it out"
    )


async def get_tasks(
    core: Core, actor: Actor, numbers: Sequence[int], get: GetTask = get_task
) -> list[Task]:
    """Raises what `get` raises, and Invalid for tasks of several users: a bulk has one account."""
    tasks = [await get(core, actor, number) for number in numbers]
    for other in tasks:
        if other.owner_id != tasks[0].owner_id:
            detail = f"tasks {tasks[0].id} and {other.id} are of different users"
            raise Invalid(Problem("", detail, "one_account_per_bulk"))
    return tasks


def named(task: Task) -> str:
    return f"task {task.id}, {quoted(task.title)}"


def with_tasks(
    as_user: str | None,
    work: Callable[[Core, Actor], Awaitable[Result]],
    *,
    keyed: bool = False,
    options: Mapping[str, str] = _NO_MORE,
) -> Result:
    """Run `with_core`, as the user of --as or TASKCLI_AS, or as the operator.

    A refusal names options instead of fields, and TASKCLI_AS if that says who acts. `options` are
    those of inputs that are no field of a task, by the core's names of them.
    """
    acting = acting_user(as_user)

    async def acted(core: Core) -> Result:
        try:
            actor = await find_actor(core, acting)
        except Invalid as refusal:
            where = "--as" if acting == as_user else "TASKCLI_AS"
            raise Invalid(*(replace(each, field=where) for each in refusal.problems)) from None
        return await work(core, actor)

    try:
        return with_core(acted, keyed=keyed)
    except Invalid as refusal:
        every = {**_OPTIONS, **options}
        raise Invalid(*(_of_option(each, every) for each in refusal.problems)) from None
    except (NotFound, Forbidden) as refusal:
        if acting == as_user:
            raise
        raise type(refusal)(f"{refusal.detail} (acting as {acting}, by TASKCLI_AS)") from None


def once(
    as_user: str | None,
    key: str | None,
    command: tuple[object, ...],
    work: Callable[[Core, Actor], Awaitable[Result]],
    options: Mapping[str, str] = _NO_MORE,
) -> Result:
    """Run `with_tasks`. With a key, returns what the same command has returned before.

    That has the types of JSON. `command` is the command as it was typed, without the options for
    what is printed.
    """
    if key is None:
        return with_tasks(as_user, work, options=options)

    async def answered(core: Core, actor: Actor) -> Result:
        async def kept(core: Core) -> bytes:
            return encoded(await work(core, actor)).encode()

        answer = await core.once(actor, key, repr(command).encode(), kept)
        return cast("Result", json.loads(answer.content))

    return with_tasks(as_user, answered, keyed=True, options=options)


def require_yes_with(key: str | None, *, yes: bool) -> None:
    """Raises Usage: a command that asks is not the same each time."""
    if key is not None and not yes:
        raise Usage("--idempotency-key needs --yes")


def _of_option(problem: Problem, options: Mapping[str, str]) -> Problem:
    name, _, place = problem.field.partition("/")
    option = options.get(name, name)
    if place.isdecimal():
        option += f" (number {int(place) + 1})"
    return replace(problem, field=option, detail=_DETAILS.get(problem.code, problem.detail))
