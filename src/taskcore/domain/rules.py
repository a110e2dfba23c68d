"""The limits on input, each stated once."""

import re
import stringprep
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taskcore.domain.errors import Invalid, Problem

# What PostgreSQL's int8 holds; identifiers and versions live in it.
MAX_ID = 2**63 - 1

# C0 and C1 control characters but tab, line feed and carriage return. NUL among them: PostgreSQL
# text cannot hold it. They are refused, not removed: text is stored as it was sent.
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

    def problem(self, text: str) -> Problem | None:
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
# RFC 5321 allows 254 octets in a path without its brackets; the shortest useful one is `a@b`.
EMAIL = TextRule("email", 3, 254)
# NIST SP 800-63B asks for a count in code points, after normalisation, and for no truncation.
# 256 is this project's own ceiling.
PASSWORD = TextRule("password", 8, 256)


def refuse(*problems: Problem | None) -> None:
    """Raise Invalid with every problem there is, so that a form learns all of them at once."""
    if found := [problem for problem in problems if problem]:
        raise Invalid(*found)


def check(content: Mapping[str, object], rules: Iterable[TextRule]) -> None:
    """Raises Invalid, with every rule that a text in `content` breaks."""
    refuse(*(rule.problem(str(content[rule.field])) for rule in rules if rule.field in content))


class Refusals:
    """Gathers what several blocks refuse, so that a form learns all of it at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, refusal: BaseException | None, __: object) -> bool:
        if isinstance(refusal, Invalid):
            self._problems += refusal.problems
            return True
        return False

    def raise_all(self) -> None:
        """Raises Invalid, if anything was refused."""
        refuse(*self._problems)


def only(changes: Mapping[str, object], shape: type) -> None:
    """Changes come from callers who may pass on what they were given: nothing else gets in."""
    if unknown := changes.keys() - shape.__annotations__.keys():
        raise TypeError(f"cannot change {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class Email:
    """An address as its owner spells it (`address`) and as accounts are told apart (`key`).

    The domain is an ASCII A-label in both. The key is lower case: `Ada@X.org` and `ada@x.org`
    are one account. It is made here and nowhere else, never by SQL, because two notions of
    lower case are how one account takes over another.
    """

    address: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Email":
        """Raises Invalid. No provider's own rules: dots and +tags make different addresses."""
        EMAIL.check(text)  # the length first: everything below costs time per character
        local, at, domain = text.rpartition("@")
        if not at or not _LOCAL.fullmatch(local) or len(local) > _MAX_LOCAL:
            raise _not_an_email()
        domain = _a_label(domain)
        address = f"{local}@{domain}"
        if len(address) > EMAIL.max:
            raise Invalid(Problem("email", f"takes at most {EMAIL.max} characters", "too_long"))
        return cls(address, address.lower())


# RFC 5322 dot-atom, ASCII only: look-alike letters in a local part are how accounts are spoofed.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_LOCAL = 64
_DOT = re.compile("[.\u3002\uff0e\uff61]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Python's codec follows IDNA 2003, which maps some of these to other names than IDNA 2008 does, so
# that mail for one domain would be the key of another; the rest IDNA 2008 does not know as letters.
_DEVIATIONS = re.compile("[\u00df\u1e9e\u03c2\u03a3\u0640\u1100-\u11ff\u200c\u200d]")
# What IDNA 2008 allows in a name, but for a few signs and the rules on mixed directions.
_category_of_2002 = unicodedata.ucd_3_2_0.category
_LETTERS = frozenset({"Ll", "Lm", "Lo", "Mc", "Mn", "Nd"})


def _a_label(domain: str) -> str:
    labels = [_ascii_label(label) for label in _DOT.split(domain)]
    # A name and a top level; an address in digits is a host, not a mail domain.
    if len(labels) < 2 or labels[-1].isdigit():  # noqa: PLR2004
        raise _not_an_email()
    return ".".join(labels)


def _ascii_label(label: str) -> str:
    # What the codec would drop is refused, so that nothing invisible is in a name.
    if any(map(stringprep.in_table_b1, label)) or _DEVIATIONS.search(label):
        raise _not_an_email()
    try:
        found = label.encode("idna").lower()
        shown = found.decode("idna")  # an A-label that is no other label's spelling, or an error
    except UnicodeError:
        raise _not_an_email() from None
    text = found.decode("ascii")
    # Two hyphens in this place announce an encoding, of which there is one.
    encoded = text[2:4] == "--"
    if not _LABEL.fullmatch(text) or (encoded and not _is_name(shown)):
        raise _not_an_email()
    return text


def _is_name(shown: str) -> bool:
    """Whether what an A-label stands for is made of letters, with no mark or hyphen at its ends.

    The codec knows Unicode 3.2. Letters that are younger it would leave as they are, capital ones
    too, so that one domain would have several keys.
    """
    letters = shown.replace("-", "")
    kinds = {kind(c) for c in letters for kind in (unicodedata.category, _category_of_2002)}
    return (
        not shown.isascii()
        and kinds <= _LETTERS
        and not unicodedata.category(shown[0]).startswith("M")
        and not _DEVIATIONS.search(shown)
        and not shown.startswith("-")
        and not shown.endswith("-")
    )


def _not_an_email() -> Invalid:
    return Invalid(
        Problem("email", "must be an e-mail address like ada@example.org", "invalid_email")
    )


MAX_SKIP = 2**31 - 1
MAX_LIMIT = 100


def check_slice(skip: int, limit: int) -> None:
    """Raises Invalid for a page that cannot be asked for."""
    refuse(
        None
        if 0 <= skip <= MAX_SKIP
        else Problem("skip", f"must be from 0 to {MAX_SKIP}", "out_of_range"),
        None
        if 1 <= limit <= MAX_LIMIT
        else Problem("limit", f"must be from 1 to {MAX_LIMIT}", "out_of_range"),
    )
