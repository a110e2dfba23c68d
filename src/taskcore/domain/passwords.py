"""The rules for passwords: long enough, and not easy to guess."""

import unicodedata
from functools import cache
from importlib import resources

from taskcore.domain.emails import Email
from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.text_rules import TextRule

# NIST SP 800-63B: count code points after normalisation, never truncate. The maximum is ours.
PASSWORD = TextRule("password", 8, 256)

_SERVICE = "taskcore"
# Longer texts are refused before normalising, which takes time per character.
_LONGEST = 4 * PASSWORD.max


def normalized_password(password: str, *, field: str = PASSWORD.field) -> str:
    """The form that is hashed: NFC, so that é typed as one or as two code points is the same.

    Otherwise exactly as typed: not NFKC, not trimmed, not cut (NIST SP 800-63B section 3.1.1.2).
    Raises Invalid.
    """
    if len(password) > _LONGEST:
        raise _refused(field, f"takes at most {PASSWORD.max} characters", "too_long")
    normal = unicodedata.normalize("NFC", password)
    if len(normal) < PASSWORD.min:
        raise _refused(field, f"needs at least {PASSWORD.min} characters", "too_short")
    if len(normal) > PASSWORD.max:
        raise _refused(field, f"takes at most {PASSWORD.max} characters", "too_long")
    if "\x00" in normal or any("\ud800" <= c <= "\udfff" for c in normal):
        raise _refused(field, "must be text without NUL characters", "control_character")
    return normal


def new_password(password: str, *known: str | None, field: str = PASSWORD.field) -> str:
    """As `normalized_password`, and refuses a password that is easy to guess.

    Compares the whole password, never parts of it, with a list of common ones and with what is
    `known` of the account: its address and name, and the names of the service.
    """
    normal = normalized_password(password, field=field)
    guess = normal.casefold()
    if guess in _common():
        raise _refused(field, "is among the most common passwords", "password_too_common")
    taken = {word for text in (_SERVICE, *known) if text for word in _spellings(text)}
    if guess in taken or _address(normal) in taken:
        raise _refused(
            field,
            "is your own name or address, or the name of this service",
            "password_too_personal",
        )
    return normal


def _spellings(text: str) -> set[str]:
    if len(text) > PASSWORD.max:  # no password can equal it
        return set()
    spelled = unicodedata.normalize("NFC", text).casefold()
    words = {spelled, spelled.partition("@")[0], "".join(spelled.split()), _address(text)}
    return words - {""}


def _address(text: str) -> str:
    """The key of an e-mail address, however its domain is spelled; "" for other texts."""
    try:
        return Email.parse(text).key
    except Invalid:
        return ""


@cache
def _common() -> frozenset[str]:
    """The passwords in zxcvbn's list that are long enough; case folded."""
    file = resources.files(__package__) / "common_passwords.txt"
    return frozenset(file.read_text(encoding="utf-8").splitlines())


def _refused(field: str, detail: str, code: str) -> Invalid:
    return Invalid(Problem(field, detail, code))
