"""What a database says about itself: its encoding, and which code is too old for it."""

import re

ENCODING = "UTF8"
VERSION_TABLE = "alembic_version"
_OLDEST_CODE = re.compile("oldest code: ([0-9]{4})")


def oldest_code(comment: str | None) -> str:
    """The REVISION of the oldest code that works with a schema; empty if every code does.

    By the comment of VERSION_TABLE: a migration after which older code fails, or does harm, writes
    `oldest code: NUMBER` there.
    """
    match = _OLDEST_CODE.search(comment or "")
    return match[1] if match else ""
