"""E-mail addresses: which are valid, and which belong to the same account."""

import re
import stringprep
import unicodedata
from dataclasses import dataclass

from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.text_rules import TextRule

# RFC 5321 allows 254 octets in a path without its brackets; the shortest address is `a@b`.
EMAIL = TextRule("email", 3, 254)


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
