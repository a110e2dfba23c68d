"""Laws of the policies; tests/test_policy_matrix.py has the table of who may do what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Forbidden
from taskcore.domain.policies import (
    SYSTEM,
    Actor,
    Permission,
    authorize,
    may,
    reaches_all_tasks,
    visible_tasks,
)
from taskcore.domain.tasks import Task
from taskcore.domain.users import Role, UserId
from tests.factories import a_task

ADA, BOB = UserId(1), UserId(2)


def task_of(owner_id: UserId) -> Task:
    return a_task(owner_id=owner_id)


# role, own task -> what may be done with it


def test_a_permission_to_look_alone_makes_a_change_forbidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No role of today only looks.
    looking = {Role.USER: frozenset({Permission.VIEW}), Role.ADMIN: frozenset[Permission]()}
    monkeypatch.setattr("taskcore.domain.policies._WITH_ANY_TASK", looking)
    authorize(Actor(ADA, Role.USER), Permission.VIEW, task_of(BOB))
    for permission in set(Permission) - {Permission.VIEW}:
        with pytest.raises(Forbidden):
            authorize(Actor(ADA, Role.USER), permission, task_of(BOB))


@pytest.mark.parametrize("role", Role)
def test_who_reaches_all_tasks_may_do_something_with_anothers(role: Role) -> None:
    """Only they are looked for in other accounts."""
    actor = Actor(ADA, role)
    assert reaches_all_tasks(actor) == any(may(actor, each, task_of(BOB)) for each in Permission)


ids = st.integers(1, 4).map(UserId)
actors = st.just(SYSTEM) | st.builds(Actor, ids, st.sampled_from(Role))


@given(actors, st.none() | ids, st.lists(ids, max_size=8))
def test_a_list_shows_exactly_what_may_be_seen(
    actor: Actor, named: UserId | None, owners: list[UserId]
) -> None:
    tasks = [task_of(owner_id) for owner_id in owners]
    visible = [task for task in tasks if may(actor, Permission.VIEW, task)]
    try:
        scope = visible_tasks(actor, named)
    except Forbidden:
        # Only for naming an owner whose tasks may not be seen.
        assert named is not None
        assert not may(actor, Permission.VIEW, task_of(named))
        return
    listed = [task for task in tasks if scope in {None, task.owner_id}]
    assert listed == [task for task in visible if named in {None, task.owner_id}]
