"""The limits on input, each stated once."""

import re
import unicodedata
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


def normalized_password(password: str, *, field: str = PASSWORD.field) -> str:
    """The password as it is hashed: NFC, so that é typed as one or two code points is the same.

    Not NFKC, not trimmed, not cut: apart from that it counts exactly as typed.
    Raises Invalid.
    """
    # The length of what arrived is checked first: normalising a huge text costs time.
    if len(password) > 4 * PASSWORD.max:
        raise Invalid(Problem(field, f"takes at most {PASSWORD.max} characters", "too_long"))
    normal = unicodedata.normalize("NFC", password)
    if len(normal) < PASSWORD.min:
        raise Invalid(Problem(field, f"needs at least {PASSWORD.min} characters", "too_short"))
    if len(normal) > PASSWORD.max:
        raise Invalid(Problem(field, f"takes at most {PASSWORD.max} characters", "too_long"))
    if "\x00" in normal or any("\ud800" <= c <= "\udfff" for c in normal):
        raise Invalid(Problem(field, "must be text without NUL characters", "control_character"))
    return normal


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
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Python's codec follows IDNA 2003, which maps these to other names than IDNA 2008 does: mail for
# one domain would be the key of another. They are refused, and so are the invisible joiners.
_DEVIATIONS = frozenset("ßẞςΣ\u200c\u200d")


def _a_label(domain: str) -> str:
    if _DEVIATIONS & set(domain) or any(unicodedata.category(c) == "Cf" for c in domain):
        raise _not_an_email()
    try:
        ascii_domain = domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _not_an_email() from None
    labels = ascii_domain.split(".")
    if len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - name and top level
        raise _not_an_email()
    if labels[-1].isdigit():  # an address in digits is a host, not a mail domain
        raise _not_an_email()
    return ascii_domain


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
