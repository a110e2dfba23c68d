"""Users and tasks: how they come about and how they change."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Invalid
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import Role, User, UserId

NOW = datetime(2030, 1, 2, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TASK = Task(TaskId(7), "Write", "the letter", UserId(3), 4, NOW, NOW)
USER = User(UserId(3), "a@b.org", "Ada", Role.USER, True, NOW, NOW, "the secret hash")

# Few values, so that a change is often none.
task_changes = st.fixed_dictionaries(
    {}, optional={"title": st.sampled_from(["Write", "x"]), "description": st.sampled_from("y")}
)
user_changes = st.fixed_dictionaries(
    {},
    optional={
        "full_name": st.sampled_from(["Ada", "Eve", "", None]),
        "role": st.sampled_from(Role),
        "is_active": st.booleans(),
    },
)


@given(task_changes)
def test_an_edit_changes_what_it_names_and_nothing_else(changes: dict[str, Any]) -> None:
    edited = TASK.edited(LATER, **changes)
    for name in ("id", "title", "description", "owner_id", "created_at"):
        assert getattr(edited, name) == changes.get(name, getattr(TASK, name))
    if edited != TASK:
        assert (edited.version, edited.updated_at) == (TASK.version + 1, LATER)


@given(task_changes)
def test_an_edit_that_changes_nothing_is_the_task_itself(changes: dict[str, Any]) -> None:
    edited = TASK.edited(LATER, **changes)
    same = all(getattr(TASK, name) == value for name, value in changes.items())
    assert (edited is TASK) is same
    assert edited.edited(LATER, **changes) is edited


@given(user_changes)
def test_a_user_changes_as_named_and_in_nothing_else(changes: dict[str, Any]) -> None:
    edited = USER.edited(LATER, **changes)
    for name in ("id", "email", "full_name", "role", "is_active", "created_at", "password_hash"):
        assert getattr(edited, name) == changes.get(name, getattr(USER, name))
    same = all(getattr(USER, name) == value for name, value in changes.items())
    assert (edited is USER) is same
    assert edited.updated_at == (NOW if same else LATER)
    assert edited.edited(LATER, **changes) is edited


def test_an_edit_says_all_that_is_wrong_with_it_and_changes_nothing() -> None:
    before = replace(TASK)
    with pytest.raises(Invalid) as refusal:
        TASK.edited(LATER, title="", description="x" * 5001)
    assert [problem.field for problem in refusal.value.problems] == ["title", "description"]
    with pytest.raises(Invalid):
        USER.edited(LATER, full_name="\x00")
    with pytest.raises(Invalid):
        USER.edited(LATER, full_name="x" * 256, role=Role.ADMIN)
    assert before == TASK


def test_what_is_stored_already_need_not_pass_the_rules_of_today() -> None:
    old = replace(TASK, title="", description="x" * 6000)
    assert old.edited(LATER, title="new").description == old.description
    assert User(UserId(1), "x", "y" * 999, Role.USER, True, NOW, NOW, "").full_name == "y" * 999


def test_a_new_task_passes_the_rules() -> None:
    draft = Task.new(UserId(3), NOW, title="x")
    assert (draft.title, draft.description, draft.owner_id) == ("x", "", 3)
    with pytest.raises(Invalid) as refusal:
        Task.new(UserId(3), NOW, title="", description="\x00")
    assert [problem.field for problem in refusal.value.problems] == ["title", "description"]


def test_a_new_user_passes_the_rules() -> None:
    draft = User.new("Ada@X.org", NOW, full_name=None, role=Role.ADMIN)
    assert (draft.email.address, draft.email.key) == ("Ada@x.org", "ada@x.org")
    assert draft.role is Role.ADMIN
    for email, full_name in [("ada", None), ("ada@x.org", "x" * 256), ("ada@x.org", "\x00")]:
        with pytest.raises(Invalid):
            User.new(email, NOW, full_name=full_name, role=Role.USER)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("is_active", [True, False])
def test_an_administrator_counts_while_active(role: Role, *, is_active: bool) -> None:
    user = replace(USER, role=role, is_active=is_active)
    assert user.is_active_admin is (role is Role.ADMIN and is_active)


def test_entities_are_values() -> None:
    for entity in (TASK, USER):
        assert replace(entity) == entity
        with pytest.raises(FrozenInstanceError):
            entity.id = 1  # type: ignore[misc, assignment]


def test_a_user_does_not_show_the_password_hash() -> None:
    assert "secret" not in repr(USER)
    assert "secret" not in str([USER])
