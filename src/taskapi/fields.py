"""Types of the fields in JSON bodies, with their limits and examples in the OpenAPI document."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from taskcore import Priority, Role, Status
from taskcore.domain import labels
from taskcore.domain.dues import TIME_ZONE
from taskcore.domain.emails import EMAIL
from taskcore.domain.ids import MAX_ID
from taskcore.domain.passwords import PASSWORD
from taskcore.domain.tasks import DESCRIPTION, TITLE
from taskcore.domain.text_rules import CONTROL, TextRule
from taskcore.domain.users import FULL_NAME


def _documented(rule: TextRule, example: str, **more: object) -> Meta:
    """The rule's limits, for the document only: the domain enforces them."""
    schema: dict[str, object] = {
        "minLength": rule.min,
        "maxLength": rule.max,
        "examples": [example],
    }
    return Meta(extra_json_schema=schema | more)


def _word(example: StrEnum, description: str) -> tuple[Meta, Meta]:
    """For a word of the example's enum: in a body that we read, and in one that we send.

    A body that we read has a text there: the domain says which words there are, and refuses others.
    """
    words = type(example)
    schema: dict[str, object] = {"enum": list(words), "examples": [example.value]}
    return (
        Meta(title=words.__name__, description=description, extra_json_schema=schema),
        Meta(description=description, examples=[example.value]),
    )


_PLAIN_TEXT = "^[^" + CONTROL.replace(r"\x", r"\u00") + "]*$"
_ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f]*$"

Title = Annotated[str, _documented(TITLE, "Write the letter", pattern=_PLAIN_TEXT)]
Description = Annotated[str, _documented(DESCRIPTION, "Two pages, by hand", pattern=_PLAIN_TEXT)]
FullName = Annotated[str, _documented(FULL_NAME, "Ada Lovelace", pattern=_PLAIN_TEXT)]
Email = Annotated[str, _documented(EMAIL, "ada@example.org", format="email")]
NewPassword = Annotated[
    str, _documented(PASSWORD, "correct horse battery", format="password", pattern="^[^\\u0000]*$")
]
# A password to compare has no rule of its own: one that breaks the rules is simply wrong.
Password = Annotated[
    str, Meta(extra_json_schema={"format": "password", "examples": ["correct horse battery"]})
]
TimeZone = Annotated[
    str,
    _documented(
        TIME_ZONE,
        "Europe/Berlin",
        format="time-zone",
        description="A name of the IANA time zone database: where the user's days begin, and where "
        "a new `due_at` of theirs is meant that comes without a `time_zone`. A task keeps its own",
    ),
]
_STATUS_TAKEN, _STATUS_SHOWN = _word(
    Status.IN_PROGRESS,
    "`todo` and `in_progress` are open, `done` and `cancelled` closed; any may follow any. "
    "`completed_at` is when it became `done`",
)
_PRIORITY_TAKEN, _PRIORITY_SHOWN = _word(
    Priority.HIGH, "From the least urgent to the most: `none`, `low`, `medium`, `high`, `urgent`"
)
TaskStatusWord = Annotated[str, _STATUS_TAKEN]
TaskPriorityWord = Annotated[str, _PRIORITY_TAKEN]
TaskStatus = Annotated[Status, _STATUS_SHOWN]
TaskPriority = Annotated[Priority, _PRIORITY_SHOWN]
DueDate = Annotated[
    date,
    Meta(
        description="Due on a day such as 2026-12-01, in whatever time zone its reader lives. "
        "A task has this or `due_at`, not both: naming one with a value clears the other",
    ),
]
DueAt = Annotated[
    datetime,
    Meta(
        tz=True,
        description="Due at a moment: RFC 3339, with its offset from UTC",
        examples=["2026-12-01T09:00:00+01:00"],
    ),
]
ShownDueAt = Annotated[
    datetime,
    Meta(
        tz=True,
        description="Due at a moment: RFC 3339, in UTC",
        examples=["2026-12-01T08:00:00Z"],
    ),
]
DueTimeZone = Annotated[
    str,
    _documented(
        TIME_ZONE,
        "Europe/Berlin",
        format="time-zone",
        description="The IANA name of the time zone where `due_at` is meant. A new `due_at` "
        "without it gets your own; null exactly when `due_at` is",
    ),
]
Label = Annotated[
    str,
    _documented(
        TextRule(labels.FIELD, labels.MIN_LABEL, labels.MAX_LABEL), "home", pattern=_ONE_LINE
    ),
]
Labels = Annotated[
    Sequence[Label],
    Meta(
        description="Replaced as a whole, and kept as sent. No two may be alike but for upper and "
        "lower case",
        extra_json_schema={"maxItems": labels.MAX_LABELS, "examples": [["home", "garden"]]},
    ),
]
Id = Annotated[int, Meta(ge=1, le=MAX_ID, examples=[1])]
Version = Annotated[int, Meta(ge=1, le=MAX_ID, description="Counts the changes", examples=[1])]
CompletedAt = Annotated[
    datetime,
    Meta(tz=True, description="When it became done: RFC 3339, in UTC"),
]
Timestamp = Annotated[
    datetime,
    Meta(tz=True, description="RFC 3339, in UTC", examples=["2026-01-31T09:30:00Z"]),
]
# Not `admin`: trying out the example must not create an administrator.
UserRole = Annotated[Role, Meta(examples=[Role.USER.value])]
IsActive = Annotated[bool, Meta(examples=[True])]
Total = Annotated[
    Annotated[int, Meta(ge=0, examples=[3])] | None,
    Meta(
        description="How many there are in all, not only on this page. Null where they are not "
        "counted: filtered tasks on a page with a cursor, more than 500 matches of `q`; accounts "
        "and events on a page with a cursor, or if counting takes more than two seconds",
    ),
]
Ip = Annotated[str, Meta(description="An IP address", examples=["192.0.2.7"])]
UserAgent = Annotated[str, Meta(description="What the client calls itself", examples=["curl/8.5"])]
