"""The options for the fields of a task, and what they change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, cast

from cyclopts import Parameter, Token, default_name_transform

from taskcli.arguments import one_of
from taskcli.exits import Usage
from taskcli.typed_dates import ChangedDue, Due, When
from taskcore import Invalid, Priority, Problem, Status, Task
from taskcore.domain.dues import check_time_zone, zone
from taskcore.domain.labels import label_key, label_problem
from taskcore.domain.printable import quoted
from taskcore.domain.refusals import refuse
from taskcore.domain.tasks import NULLABLE, TaskChanges

_TAKEN = TaskChanges.__annotations__.keys()
Text = Annotated[str, Parameter(metavar="TEXT")]
Labels = Annotated[Sequence[str], Parameter(negative="", show_default=False, metavar="LABEL...")]
_NONE: Final = "none"
Cleared = Literal["none"]
"""Beside the values of a field that may be null: it clears the field."""


def optional(read: type[StrEnum] | Callable[[str], object], metavar: str = "CHOICE") -> Parameter:
    """For a field of the type `Value | Cleared | None`; `read` is its enum, or makes its value.

    That raises ValueError, with a sentence for people.
    """
    words: tuple[str, ...] = ()
    if isinstance(read, type) and issubclass(read, StrEnum):
        words = tuple(read)

    def converted(_: object, tokens: Sequence[Token]) -> object:
        text = tokens[0].value
        if text.lower() == _NONE:
            return _NONE
        if words:
            return read(one_of(text, (*words, _NONE)))
        try:
            return read(text)
        except ValueError as refusal:
            raise ValueError(f"{refusal}, or {_NONE}") from None

    return Parameter(
        converter=converted,
        n_tokens=1,
        # Of the words, which are typed as they are, and of the option.
        name_transform=lambda name: (
            name.lower() if name.lower() in words else default_name_transform(name)
        ),
        show_choices=bool(words),
        metavar=metavar if words else f"{metavar}|{_NONE}",
    )


def refuse_empty(labels: Sequence[str], instead: str) -> None:
    """Raises Invalid for an empty text; `instead` says what to type for what was meant by it."""
    if "" in labels:
        raise Invalid(Problem("--label", f"{quoted('')} is no label; {instead}", "too_short"))


def comma_notes(labels: Sequence[str]) -> list[str]:
    return [
        f"{quoted(label)} is one label; for several repeat the option"
        for label in labels
        if "," in label
    ]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Content:
    """The fields of a task; None if not named."""

    title: Annotated[Text | None, Parameter(help="The new title.")] = None
    description: Annotated[
        Text | None, Parameter(help='Anything that the title leaves out; "" is none.')
    ] = None
    status: Annotated[
        Status | None, Parameter(name="--status", name_transform=str.lower, help="How far it is.")
    ] = None
    priority: Annotated[Priority | None, Parameter(help="How urgent it is.")] = None
    due: Annotated[
        Due,
        Parameter(
            help='When it is due, such as tomorrow, fri, 18:00 or "+3d 9:00"; none is no due.'
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        Parameter(
            metavar="ZONE",
            help="Where the time of --due is meant, such as Europe/Berlin, if not in the user's"
            " own time zone.",
        ),
    ] = None
    label: Annotated[Labels, Parameter(help="A label; repeat it for several.")] = ()

    def changes(self, now: datetime, here: str) -> TaskChanges:
        """`here` is the zone of a due without --time-zone. Raises Invalid if that is unknown."""
        changes: dict[str, Any] = {
            each.name: None if value == _NONE and each.name in NULLABLE else value
            for each in fields(self)
            if each.name in _TAKEN and (value := getattr(self, each.name)) is not None
        }
        if self.label:
            changes["labels"] = self.label
        return cast("TaskChanges", changes | self._due(now, here))

    def _due(self, now: datetime, here: str) -> dict[str, Any]:
        if self.time_zone is not None:
            refuse(check_time_zone(self.time_zone))
        if self.due is None:
            return {}
        if self.due == _NONE:
            return {"due_date": None, "due_at": None}
        due = self.due.resolved(now, zone(self.time_zone or here))
        return {"due_at" if isinstance(due, datetime) else "due_date": due}

    def notes(self) -> list[str]:
        """What to note about labels: several names with commas are one label."""
        return comma_notes(self.label)

    def check(self) -> None:
        """Raises Usage for options that exclude each other, and Invalid for an empty label."""
        has_time = self.due is None or (isinstance(self.due, When) and not self.due.is_day)
        if self.time_zone is not None and not has_time:
            raise Usage("--time-zone belongs to a --due with a time, such as 2026-12-01T09:00")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Draft(Content):
    """What a new task may name."""

    title: Annotated[Text, Parameter(help="What there is to do.")] = field()  # without a default

    def check(self) -> None:
        super().check()
        refuse_empty(self.label, "leave --label out for none")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Edits(Content):
    """What an edit may name."""

    due: Annotated[
        ChangedDue,
        Parameter(
            help='When it is due, such as tomorrow, fri, 18:00 or "+3d 9:00" (three days from'
            " today); none takes the due away."
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        Parameter(
            metavar="ZONE",
            help="Where the time of --due is meant, such as Europe/Berlin, if not in the time zone"
            " that the task has, or else the user.",
        ),
    ] = None
    label: Annotated[Labels, Parameter(help="The labels instead of those it has.")] = ()
    add_label: Annotated[Labels, Parameter(help="One more label.")] = ()
    remove_label: Annotated[Labels, Parameter(help="One label less.")] = ()
    no_labels: Annotated[
        bool, Parameter(negative="", show_default=False, help="Remove all labels.")
    ] = False

    def notes(self) -> list[str]:
        return comma_notes([*self.label, *self.add_label])

    def not_removed(self, was: Task) -> list[str]:
        """What to note of labels to remove that the task did not have."""
        had = set(map(label_key, was.labels))
        return [
            f"the task had no label {quoted(label)}"
            for label in self.remove_label
            if label_key(label) not in had
        ]

    @property
    def is_relative(self) -> bool:
        """Whether the new labels depend on those that the task has."""
        return bool(self.add_label or self.remove_label)

    def check(self) -> None:
        if self == Edits():
            options = ", ".join(f"--{each.name.replace('_', '-')}" for each in fields(self))
            raise Usage(f"nothing to change: give one or more of {options}")
        super().check()
        refuse_empty(self.label, "--no-labels removes all")
        # Here, because the core counts the labels of the task too, and knows no such options.
        for option, labels in (
            ("--add-label", self.add_label),
            ("--remove-label", self.remove_label),
        ):
            refuse(*(label_problem(option, label) for label in labels))
        if bool(self.label) + self.no_labels + self.is_relative > 1:
            raise Usage(
                "--label replaces all labels, --no-labels removes all, --add-label and"
                " --remove-label change some: give one of the three"
            )

    def of(self, task: Task, now: datetime, here: str) -> TaskChanges:
        """The changes to this task, as `changes` returns them."""
        has_time = isinstance(self.due, When) and not self.due.is_day
        keeps_zone = has_time and self.time_zone is None and task.time_zone is not None
        # A new time without --time-zone is meant in the task's own zone.
        there = task.time_zone if keeps_zone and task.time_zone else here
        changes = self.changes(now, there)
        if keeps_zone:
            changes["time_zone"] = task.time_zone
        if self.no_labels:
            changes["labels"] = ()
        if self.is_relative:
            changes["labels"] = self._relabelled(task.labels)
        return changes

    def _relabelled(self, labels: Sequence[str]) -> list[str]:
        """The labels after the edit. Labels that are alike are one: none is added twice."""
        kept = {label_key(label): label for label in labels}
        for label in self.remove_label:
            kept.pop(label_key(label), None)
        for label in self.add_label:
            kept.setdefault(label_key(label), label)
        return list(kept.values())
