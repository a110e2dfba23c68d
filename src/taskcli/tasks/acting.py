"""As which user a command on tasks acts, and how it names its options in a refusal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Annotated, Self, TypeVar

from cyclopts import Parameter

from taskcli.arguments import Whole
from taskcli.exits import Usage
from taskcli.running import operator, with_core
from taskcli.users import find_user
from taskcore import Actor, Core, Forbidden, Invalid, NotFound, Problem, Task, TaskId, UserId
from taskcore.domain.dues import zone

Number = Annotated[Whole, Parameter(name="ID", help="The task.")]
As = Annotated[
    str | None, Parameter(name="--as", help="Act as this user, by e-mail address or id.")
]
Owner = Annotated[str | None, Parameter(help="Only this user's, by e-mail or id.")]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reader:
    """The actor who reads a list, whose tasks are in it, and when."""

    actor: Actor
    owner_id: UserId | None
    """None for one's own, and for those of all users."""
    now: datetime

    @classmethod
    async def of(cls, core: Core, reference: str | None, owner: str | None) -> Self:
        """`reference` is the user of --as. The operator reads in the time zone of the owner.

        Raises as `find_actor`.
        """
        actor, found = await find_actor(core, reference), None
        if owner is not None:
            found = await find_user(core, owner)
            if reference is None:
                actor = replace(actor, time_zone=found.time_zone)
        return cls(actor, found.id if found else None, core.tasks.clock.now())

    @property
    def zone(self) -> tzinfo:
        return zone(self.actor.time_zone)


async def find_actor(core: Core, reference: str | None) -> Actor:
    """The user named by --as, or the operator.

    Raises NotFound, and Forbidden for a deactivated user.
    """
    if reference is None:
        return operator()
    user = await find_user(core, reference)
    if not user.is_active:
        raise Forbidden(f"{user.email} is deactivated and may do nothing")
    return Actor(user.id, user.role, time_zone=user.time_zone, origin=operator().origin)


async def get_task(core: Core, actor: Actor, task_id: int) -> Task:
    """Raises NotFound, also for a task that the actor may not see."""
    try:
        return await core.tasks.get(actor, TaskId(task_id))
    except NotFound:
        raise NotFound(f"there is no task {task_id}") from None


def require_account(as_user: str | None, owner: str | None, what: str) -> None:
    """Raises Usage for the operator, who has no tasks."""
    if as_user is None and owner is None:
        raise Usage(f"name the user whose {what} you mean, with --owner or --as")


def with_tasks(work: Callable[[Core], Awaitable[Result]]) -> Result:
    """As `with_core`; a refusal names options instead of fields."""
    try:
        return with_core(work)
    except Invalid as refusal:
        raise Invalid(*map(_of_option, refusal.problems)) from None


_OPTIONS = {"q": "--search", "owner_id": "--owner", "due_at": "--due", "labels": "--label"}
_FIELDS = {
    *("title", "description", "status", "priority", "time_zone", "label", "sort", "cursor"),
    *("skip", "limit"),
}
# What the core says by the names of other fields.
_DETAILS = {
    "owner_required": "name the user whose tasks to filter, sort or search",
    "relevance_without_q": "relevance needs --search",
    "time_zone_without_due_at": "belongs to a due that has a time; give that too, with --due",
}


def _of_option(problem: Problem) -> Problem:
    name, _, place = problem.field.partition("/")
    option = _OPTIONS.get(name)
    if option is None:
        option = f"--{name.replace('_', '-')}" if name in _FIELDS else name
    if place:
        option += f" (number {int(place) + 1})"
    return replace(problem, field=option, detail=_DETAILS.get(problem.code, problem.detail))
