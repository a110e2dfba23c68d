"""The limits on input, each stated once."""

import re
import stringprep
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taskcore.domain.errors import Invalid, Problem

# The largest int8 of PostgreSQL, which holds identifiers and versions.
MAX_ID = 2**63 - 1

# C0 and C1 control characters except tab, line feed and carriage return. Refused, not removed: text
# is stored as sent. PostgreSQL text cannot hold NUL.
CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_CONTROL = re.compile(f"[{CONTROL}]")


@dataclass(frozen=True, slots=True)
class TextRule:
    """Bounds on a text, in Unicode code points."""

    field: str
    min: int
    max: int

    def check(self, text: str) -> str:
        refuse(self.problem(text))
        return text

    def problem(self, text: object) -> Problem | None:
        if not isinstance(text, str):
            return Problem(self.field, "must be text", "wrong_type")
        if len(text) < self.min:
            return Problem(self.field, f"needs at least {_characters(self.min)}", "too_short")
        if len(text) > self.max:
            return Problem(self.field, f"takes at most {self.max} characters", "too_long")
        if _CONTROL.search(text):
            return Problem(self.field, "must not hold control characters", "control_character")
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            return Problem(self.field, "must be text that UTF-8 can hold", "not_unicode")
        return None


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"


TITLE = TextRule("title", 1, 255)
DESCRIPTION = TextRule("description", 0, 5000)
TASK_RULES = (TITLE, DESCRIPTION)
FULL_NAME = TextRule("full_name", 0, 255)
# Twice the longest name of the IANA time zone database. `dues` knows the names.
TIME_ZONE = TextRule("time_zone", 1, 64)
# RFC 5321 allows 254 octets in a path without its brackets; the shortest address is `a@b`.
EMAIL = TextRule("email", 3, 254)
# NIST SP 800-63B: count code points after normalisation, never truncate. The maximum is ours.
PASSWORD = TextRule("password", 8, 256)


def refuse(*problems: Problem | None) -> None:
    """Raises Invalid with all problems at once, unless there are none."""
    if broken := [problem for problem in problems if problem]:
        raise Invalid(*broken)


def check(content: Mapping[str, object], rules: Iterable[TextRule]) -> None:
    """Raises Invalid, with every rule that a text in `content` breaks."""
    refuse(*(rule.problem(content[rule.field]) for rule in rules if rule.field in content))


class Refusals:
    """Collects the problems of several blocks, to raise them all at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, refusal: BaseException | None, __: object) -> bool:
        if isinstance(refusal, Invalid):
            self._problems += refusal.problems
            return True
        return False

    def raise_all(self) -> None:
        """Raises Invalid if there are problems."""
        refuse(*self._problems)


def only(changes: Mapping[str, object], shape: type) -> None:
    """Raises TypeError for names that are not in the TypedDict `shape`."""
    if unknown := changes.keys() - shape.__annotations__.keys():
        raise TypeError(f"cannot change {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class Email:
    """An address as its owner spells it (`address`), and what identifies its account (`key`).

    The domain is an ASCII A-label in both. The key is lower case: `Ada@X.org` and `ada@x.org` are
    one account. Only this class makes keys, never SQL: two definitions of lower case would let one
    account take over another.
    """

    address: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Email":
        """Raises Invalid. Knows no provider's rules: dots and +tags make different addresses."""
        EMAIL.check(text)  # first, because everything below takes time per character
        local, at, domain = text.rpartition("@")
        if not at or not _LOCAL.fullmatch(local) or len(local) > _MAX_LOCAL:
            raise _not_an_email()
        domain = _a_label(domain)
        address = EMAIL.check(f"{local}@{domain}")  # A-labels may be longer
        return cls(address, address.lower())


# RFC 5322 dot-atom, ASCII only: look-alike letters would let an attacker spoof an account.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_LOCAL = 64
_MAX_LABEL = 63  # RFC 1035 section 2.3.4
_DOT = re.compile("[.\u3002\uff0e\uff61]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Characters that IDNA 2008 maps differently than Python's IDNA 2003 codec, or does not allow.
# Otherwise an address at one domain would have the key of an address at another.
_DEVIATIONS = re.compile("[\u00df\u1e9e\u03c2\u03a3\u0640\u1100-\u11ff\u200c\u200d]")
# What IDNA 2008 allows in a label, except a few signs and the rules on mixed directions.
_category_of_2002 = unicodedata.ucd_3_2_0.category
_LETTERS = frozenset({"Ll", "Lm", "Lo", "Mc", "Mn", "Nd"})


def _a_label(domain: str) -> str:
    labels: list[str] = []
    for label in _DOT.split(domain):
        labels.append(_ascii_label(label))
        if sum(map(len, labels)) > EMAIL.max:  # each label takes time, so do not go on
            raise _not_an_email()
    # At least a name and a top level. A numeric top level means an IP address.
    if len(labels) < 2 or labels[-1].isdigit():  # noqa: PLR2004
        raise _not_an_email()
    return ".".join(labels)


def _ascii_label(label: str) -> str:
    # The codec first normalises, and then takes time with the square of the length. An A-label is
    # never shorter than the normalised label.
    if len(unicodedata.normalize("NFKC", label)) > _MAX_LABEL:
        raise _not_an_email()
    # Refuse what the codec would drop, so that no label holds invisible characters.
    if any(map(stringprep.in_table_b1, label)) or _DEVIATIONS.search(label):
        raise _not_an_email()
    try:
        a_label = label.encode("idna").lower()
        u_label = a_label.decode("idna")  # fails unless the A-label is the canonical one
    except UnicodeError:
        raise _not_an_email() from None
    text = a_label.decode("ascii")
    is_encoded = text[2:4] == "--"  # `xn--`; other prefixes are reserved
    if not _LABEL.fullmatch(text) or (is_encoded and not _is_name(u_label)):
        raise _not_an_email()
    return text


def _is_name(label: str) -> bool:
    """Whether a U-label consists of letters, with no mark first and no hyphen at its ends.

    The codec knows Unicode 3.2 and does not fold newer capital letters, so that one domain would
    have several keys. Hence all letters must exist in Unicode 3.2.
    """
    letters = label.replace("-", "")
    kinds = {kind(c) for c in letters for kind in (unicodedata.category, _category_of_2002)}
    return (
        not label.isascii()
        and kinds <= _LETTERS
        and not unicodedata.category(label[0]).startswith("M")
        and not _DEVIATIONS.search(label)
        and not label.startswith("-")
        and not label.endswith("-")
    )


def _not_an_email() -> Invalid:
    detail = "must be an e-mail address like ada@example.org"
    return Invalid(Problem(EMAIL.field, detail, "invalid_email"))


# The store reads the rows that it skips: ten thousand take milliseconds.
MAX_SKIP = 10_000
DEFAULT_LIMIT = 100
MAX_LIMIT = 100
READ_ON = "; read on with a cursor"


def check_slice(skip: int, limit: int, most: int = MAX_LIMIT) -> None:
    """Raises Invalid for a `skip` or `limit` out of range."""
    bounds = (("skip", skip, 0, MAX_SKIP, READ_ON), ("limit", limit, 1, most, ""))
    refuse(
        *(
            Problem(name, f"must be from {low} to {high}{advice}", "out_of_range")
            for name, value, low, high, advice in bounds
            if not low <= value <= high
        )
    )
