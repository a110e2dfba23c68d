"""What travels: the types of JSON bodies, their limits as clients see them, ids and entity tags."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from taskcore import Invalid, NotFound, Problem, Role, SessionId
from taskcore.domain.rules import (
    CONTROL,
    DESCRIPTION,
    EMAIL,
    FULL_NAME,
    MAX_ID,
    MAX_LIMIT,
    MAX_SKIP,
    PASSWORD,
    TITLE,
    TextRule,
)

__all__ = ["UNSET", "UnsetType"]

Shape = TypeVar("Shape")


def _shown(rule: TextRule, example: str, **more: object) -> Meta:
    """The rule in the document. It is the domain that enforces it, here it is only said."""
    schema: dict[str, object] = {
        "minLength": rule.min,
        "maxLength": rule.max,
        "examples": [example],
    }
    return Meta(extra_json_schema=schema | more)


_PLAIN_TEXT = "^[^" + CONTROL.replace(r"\x", r"\u00") + "]*$"

Title = Annotated[str, _shown(TITLE, "Write the letter", pattern=_PLAIN_TEXT)]
Description = Annotated[str, _shown(DESCRIPTION, "Two pages, by hand", pattern=_PLAIN_TEXT)]
FullName = Annotated[str, _shown(FULL_NAME, "Ada Lovelace", pattern=_PLAIN_TEXT)]
EmailText = Annotated[str, _shown(EMAIL, "ada@example.org", format="email")]
NewPassword = Annotated[
    str, _shown(PASSWORD, "correct horse battery", format="password", pattern="^[^\\u0000]*$")
]
# What is typed to be compared has no rule of its own: anything that does not fit is simply wrong.
PasswordText = Annotated[
    str, Meta(extra_json_schema={"format": "password", "examples": ["correct horse battery"]})
]
Id = Annotated[int, Meta(ge=1, le=MAX_ID, examples=[1])]
Version = Annotated[int, Meta(ge=1, le=MAX_ID, description="Counts the changes", examples=[1])]
Moment = Annotated[
    datetime, Meta(description="RFC 3339, in UTC", examples=["2026-01-31T09:30:00Z"])
]
# Most accounts are such; and whoever tries an example out should not make an administrator.
RoleView = Annotated[Role, Meta(examples=[Role.USER.value])]
IsActive = Annotated[bool, Meta(examples=[True])]
Total = Annotated[int, Meta(ge=0, description="How many there are in all", examples=[1])]


_WHOLE = re.compile(r"-?[0-9]{1,19}")


class Whole(int):
    """A number in a query, in plain digits. Left to itself msgspec would also take `1e1`."""

    low: ClassVar[int] = 1
    high: ClassVar[int] = MAX_ID

    @classmethod
    def parse(cls, text: str) -> Self:
        if _WHOLE.fullmatch(text) and cls.low <= (found := cls(text)) <= cls.high:
            return found
        raise ValueError(f"must be a whole number from {cls.low} to {cls.high}")


def is_whole(kind: Any) -> bool:  # noqa: ANN401 - whatever a signature holds
    return isinstance(kind, type) and issubclass(kind, Whole)


def parsed_whole(kind: type[Whole], text: Any) -> Whole:  # noqa: ANN401 - as Litestar calls it
    return text if isinstance(text, Whole) else kind.parse(str(text))


class _Skip(Whole):
    low, high = 0, MAX_SKIP


class _Limit(Whole):
    low, high = 1, MAX_LIMIT


def whole(kind: type[Whole], description: str) -> Meta:
    bounds = {"type": "integer", "minimum": kind.low, "maximum": kind.high}
    return Meta(description=description, extra_json_schema=bounds)


Skip = Annotated[_Skip, whole(_Skip, "How many to leave out, newest first")]
Limit = Annotated[_Limit, whole(_Limit, "How many to return at most")]
FIRST, MOST = _Skip(0), _Limit(MAX_LIMIT)
Cursor = Annotated[
    str,
    Meta(
        description="Where to read on: the `next_cursor` of the page before",
        examples=["YmVmb3JlIDE"],
    ),
]
ANYBODY = Whole(0)  # what no client can name; None would be what the query `owner_id=null` means
OwnerId = Annotated[Whole, whole(Whole, "Whose tasks; only administrators may name another owner")]


# Words in a query, for `chosen`. A `bool | None` would take the word `null` for None, hence for no
# filter at all. (Of a `str` msgspec always says so in the schema, of Any it says what we do.)
Active = Annotated[
    Any, Meta(description="Who may log in, or who may not", extra_json_schema={"type": "boolean"})
]
RoleName = Annotated[
    str,
    Meta(description="Of one role", extra_json_schema={"enum": [role.value for role in Role]}),
]
Address = Annotated[EmailText, Meta(description="The one account with this address")]
TRUTHS = {"true": True, "false": False}
ROLES = {role.value: role for role in Role}


def chosen(field: str, word: str | None, choices: Mapping[str, Shape]) -> Shape | None:
    """Raises Invalid for another word than those."""
    if word is None:
        return None
    if (choice := choices.get(word.lower())) is None:
        raise Invalid(Problem(field, f"must be one of {', '.join(choices)}", "wrong_type"))
    return choice


SessionUuid = Annotated[
    str,
    Meta(
        extra_json_schema={
            "format": "uuid",
            "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        }
    ),
]
Ip = Annotated[str, Meta(description="An IP address", examples=["192.0.2.7"])]
UserAgent = Annotated[str, Meta(description="What the client calls itself", examples=["curl/8.5"])]


_Aware = Annotated[datetime, Meta(tz=True)]


def moment(field: str, text: str | None) -> datetime | None:
    """Raises Invalid for what is not RFC 3339 with an offset."""
    if text is None:
        return None
    try:
        # In a query a plus stands for a space; few remember to write it as %2B.
        spelled = text[:11] + text[11:].replace(" ", "+")
        return msgspec.convert(spelled, _Aware)
    except msgspec.ValidationError:
        detail = "must be a moment such as 2026-01-31T09:30:00Z"
        raise Invalid(Problem(field, detail, "wrong_type")) from None


class Body(Struct, forbid_unknown_fields=True):
    """What clients send: what it does not name is an error, not a wish to be ignored."""

    def __repr__(self) -> str:  # passwords and tokens are among it
        return f"{type(self).__name__}(…)"


class View(Struct):
    """What clients get: a list of what may be shown, so nothing else can slip out."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class UserView(View):
    """An account."""

    id: Id
    email: EmailText
    full_name: FullName | None
    role: RoleView
    is_active: IsActive
    created_at: Moment
    updated_at: Moment


class TaskView(View):
    """A task."""

    id: Id
    title: Title
    description: Description
    owner_id: Id
    version: Version
    created_at: Moment
    updated_at: Moment


def view(entity: object, shape: type[Shape]) -> Shape:
    return msgspec.convert(entity, shape, from_attributes=True)


def named(patch: Struct) -> dict[str, Any]:
    """The fields that the client has named: absent is not null is not default."""
    return {
        name: value
        for name in patch.__struct_fields__
        if (value := getattr(patch, name)) is not UNSET
    }


_ID = re.compile(r"[1-9][0-9]{0,18}")


def identifier(text: str) -> int:
    """An id in a path. Whatever is not spelled as we spell ids names nothing: NotFound."""
    if not _ID.fullmatch(text) or int(text) > MAX_ID:
        raise NotFound
    return int(text)


_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def session_identifier(text: str) -> SessionId:
    """The id of a session in a path, likewise: NotFound."""
    if not _UUID.fullmatch(text):
        raise NotFound
    return SessionId(UUID(text))


_ETAG = re.compile(r'(W/)?"([^"]*)"')
_BLANKS = " \t"  # of HTTP; Python's own are more
NO_VERSION = 0  # the first version is 1


def etag(version: int) -> str:
    return f'"{version}"'


def matches(if_none_match: str | None, version: int) -> bool:
    """RFC 9110 section 13.1.2: weak comparison, `*` is anything."""
    if if_none_match is None:
        return False
    tags = (tag for _, tag in _tags(if_none_match))
    return if_none_match.strip(_BLANKS) == "*" or str(version) in tags


def seen_versions(if_match: str | None) -> frozenset[int] | None:
    """RFC 9110 section 13.1.1: the versions that the client has seen; None for any.

    A tag that we never issue cannot match, and neither can a weak one.
    """
    if if_match is None or if_match.strip(_BLANKS) == "*":
        return None
    strong = (tag for is_weak, tag in _tags(if_match) if not is_weak)
    return frozenset(int(tag) for tag in strong if _ID.fullmatch(tag))


def _tags(header: str) -> Iterator[tuple[bool, str]]:
    """The tags of a list. What is no tag is none of ours: it cannot match."""
    for item in header.split(","):
        if match := _ETAG.fullmatch(item.strip(_BLANKS)):
            yield match[1] is not None, match[2]
