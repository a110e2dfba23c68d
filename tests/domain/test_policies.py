"""Who may do what: the whole matrix."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Forbidden, NotFound
from taskcore.domain.policies import (
    SYSTEM,
    Actor,
    Permission,
    authorize,
    authorize_accounts,
    may,
    own_id,
    visible_tasks,
)
from taskcore.domain.tasks import Task
from taskcore.domain.users import Role, UserId
from tests.factories import a_task

ADA, BOB = UserId(1), UserId(2)


def task_of(owner_id: UserId) -> Task:
    return a_task(owner_id=owner_id)


# role, own task -> what may be done with it
MATRIX = {
    (Role.USER, True): {Permission.VIEW, Permission.EDIT, Permission.DELETE},
    (Role.USER, False): set(),
    (Role.ADMIN, True): {Permission.VIEW, Permission.EDIT, Permission.DELETE},
    (Role.ADMIN, False): {Permission.VIEW, Permission.EDIT, Permission.DELETE},
}


@pytest.mark.parametrize(("role", "own", "permission"), [*product(Role, [True, False], Permission)])
def test_the_matrix_of_roles_ownership_and_permissions(
    role: Role, permission: Permission, *, own: bool
) -> None:
    actor, task = Actor(ADA, role), task_of(ADA if own else BOB)
    allowed = permission in MATRIX[role, own]
    assert may(actor, permission, task) is allowed
    if allowed:
        authorize(actor, permission, task)
    else:  # who may do nothing with it may not even know of it
        with pytest.raises(NotFound):
            authorize(actor, permission, task)


def test_who_may_see_but_not_do_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # No role of today only looks.
    looking = {Role.USER: frozenset({Permission.VIEW}), Role.ADMIN: frozenset[Permission]()}
    monkeypatch.setattr("taskcore.domain.policies._WITH_ANY_TASK", looking)
    authorize(Actor(ADA, Role.USER), Permission.VIEW, task_of(BOB))
    for permission in (Permission.EDIT, Permission.DELETE):
        with pytest.raises(Forbidden):
            authorize(Actor(ADA, Role.USER), permission, task_of(BOB))


@pytest.mark.parametrize("permission", Permission)
def test_the_operator_may_do_everything_and_owns_nothing(permission: Permission) -> None:
    assert may(SYSTEM, permission, task_of(ADA))
    authorize_accounts(SYSTEM)
    with pytest.raises(Forbidden):
        own_id(SYSTEM)
    assert visible_tasks(SYSTEM) is None


@pytest.mark.parametrize("role", Role)
def test_accounts_are_for_administrators(role: Role) -> None:
    actor = Actor(ADA, role)
    if role is Role.ADMIN:
        authorize_accounts(actor)
    else:
        with pytest.raises(Forbidden):
            authorize_accounts(actor)
    assert own_id(actor) == ADA


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
