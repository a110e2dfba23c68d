"""Entities made from rows are those that their class would make."""

from dataclasses import FrozenInstanceError, dataclass, fields

import pytest

from taskcore.adapters.postgres.entities import maker
from taskcore.domain.tasks import Task


def test_what_is_made_is_what_the_class_makes() -> None:
    values = [each.name for each in fields(Task)]
    for given in (values, values[:-1]):  # `deleted_at` has a default
        made = maker(Task)(*given)
        assert type(made) is Task
        assert made == Task(*given)  # type: ignore[arg-type]
        assert hash(made) == hash(Task(*given))  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        made.title = "another"  # type: ignore[misc]


def test_a_class_that_checks_its_values_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        value: int

        def __post_init__(self) -> None:
            raise ValueError

    with pytest.raises(TypeError, match="Checked checks itself"):
        maker(Checked)
