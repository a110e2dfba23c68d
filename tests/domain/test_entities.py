"""Users and tasks: their creation and their changes."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Invalid
from taskcore.domain.tasks import Priority, Status, Task
from taskcore.domain.users import Role, StoredCredentials, User, UserId
from tests.factories import NOW, a_task, a_user

LATER = NOW + timedelta(hours=1)
TASK = a_task(version=4)
USER = a_user()

MOMENT = datetime(2030, 5, 6, 7, 8, tzinfo=UTC)
# Few values, so that a change is often none.
content = {
    "title": st.sampled_from(["Write", "x"]),
    "description": st.sampled_from("y"),
    "status": st.sampled_from(Status),
    "priority": st.sampled_from([Priority.NONE, Priority.HIGH]),
    "labels": st.sampled_from([(), ("a",), ("a", "b"), ("b", "a")]),
}
task_changes = st.fixed_dictionaries({}, optional=content)
dues = st.fixed_dictionaries(
    {},
    optional={
        "due_date": st.sampled_from([None, date(2030, 5, 6)]),
        "due_at": st.sampled_from([None, MOMENT, MOMENT.astimezone(timezone(timedelta(hours=5)))]),
        "time_zone": st.sampled_from([None, "Asia/Tokyo"]),
        "status": st.sampled_from(Status),
    },
)
user_changes = st.fixed_dictionaries(
    {},
    optional={
        "full_name": st.sampled_from(["Ada", "Eve", "", None]),
        "role": st.sampled_from(Role),
        "is_active": st.booleans(),
        "time_zone": st.sampled_from(["UTC", "Europe/Berlin"]),
    },
)


@given(task_changes)
def test_an_edit_changes_what_it_names_and_nothing_else(changes: dict[str, Any]) -> None:
    edited = TASK.edited(LATER, **changes)
    same = all(getattr(TASK, name) == value for name, value in changes.items())
    completed_at = LATER if edited.status is Status.DONE else None
    changed = replace(
        TASK, **changes, completed_at=completed_at, version=TASK.version + 1, updated_at=LATER
    )
    assert (edited is TASK) is same
    assert edited == (TASK if same else changed)
    assert edited.edited(LATER, **changes) is edited


@given(st.lists(dues, max_size=5))
def test_whatever_is_edited_the_fields_of_a_task_agree(edits: list[dict[str, Any]]) -> None:
    """At most one due, a time zone exactly with a moment, a completion exactly when done."""
    task, now = TASK, LATER
    for changes in edits:
        before, now = task, now + timedelta(hours=1)
        try:
            task = task.edited(now, "Europe/Berlin", **changes)
        except Invalid as refusal:
            codes = {problem.code for problem in refusal.problems}
            assert codes <= {"one_due_only", "time_zone_without_due_at"}
        assert task.due_date is None or task.due_at is None
        assert (task.due_at is None) == (task.time_zone is None)
        assert (task.completed_at is None) == (task.status is not Status.DONE)
        assert task.due_at is None or task.due_at.tzinfo is UTC
        if task is not before:
            assert (task.version, task.updated_at) == (before.version + 1, now)
        for name in ("due_date", "due_at"):
            if task is not before and changes.get(name) is not None:
                assert getattr(task, name) == changes[name]


def test_a_task_goes_to_the_trash_and_back_as_it_is() -> None:
    trashed = TASK.trashed(LATER)
    assert trashed == replace(TASK, deleted_at=LATER, version=5, updated_at=LATER)
    again = LATER + timedelta(hours=1)
    assert trashed.restored(again) == replace(TASK, version=6, updated_at=again)


@given(user_changes)
def test_a_user_changes_as_named_and_in_nothing_else(changes: dict[str, Any]) -> None:
    edited = USER.edited(LATER, **changes)
    same = all(getattr(USER, name) == value for name, value in changes.items())
    assert (edited is USER) is same
    assert edited == (USER if same else replace(USER, **changes, updated_at=LATER))
    assert edited.edited(LATER, **changes) is edited


def test_an_edit_says_all_that_is_wrong_with_it_and_changes_nothing() -> None:
    before = replace(TASK)
    with pytest.raises(Invalid) as refusal:
        TASK.edited(LATER, title="", description="x" * 5001)
    assert [problem.field for problem in refusal.value.problems] == ["title", "description"]
    with pytest.raises(Invalid):
        USER.edited(LATER, full_name="\x00")
    with pytest.raises(Invalid) as refusal:
        USER.edited(LATER, full_name="\x00", time_zone="Mars/Olympus")
    assert [problem.code for problem in refusal.value.problems] == [
        *("control_character", "unknown_time_zone"),
    ]
    with pytest.raises(Invalid):
        USER.edited(LATER, full_name="x" * 256, role=Role.ADMIN)
    assert before == TASK


def test_what_is_stored_already_need_not_pass_the_rules_of_today() -> None:
    old = replace(TASK, title="", description="x" * 6000)
    assert old.edited(LATER, title="new").description == old.description
    assert a_user(full_name="y" * 999).full_name == "y" * 999


def test_a_new_task_passes_the_rules() -> None:
    draft = Task.new(UserId(3), NOW, title="x")
    assert (draft.title, draft.description, draft.owner_id) == ("x", "", 3)
    with pytest.raises(TypeError):
        Task.new(UserId(3), NOW, title="x", completed_at=NOW)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        TASK.edited(NOW, version=7)  # type: ignore[call-arg]
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


def test_a_role_may_be_a_plain_text() -> None:
    user = User.new("ada@x.org", NOW, full_name=None, role="admin").stored_as(UserId(1))  # type: ignore[arg-type]
    assert user.role is Role.ADMIN
    assert user.edited(NOW, role="user").role is Role.USER  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="must be one of user, admin"):
        user.edited(NOW, role="root")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="must be one of user, admin"):
        User.new("ada@x.org", NOW, full_name=None, role="root")  # type: ignore[arg-type]


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


def test_credentials_do_not_show_the_password_hash() -> None:
    assert "the hash" not in repr(StoredCredentials(USER, "the hash"))
