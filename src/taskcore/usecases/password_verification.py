"""Verify a password; an unknown account takes as long as a wrong password."""

from datetime import datetime

from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import normalized_password
from taskcore.domain.users import StoredCredentials
from taskcore.ports import PasswordHasher


async def verified(
    hasher: PasswordHasher, password: str, stored: StoredCredentials | None, now: datetime
) -> bool:
    """Whether the password is right. Raises Unavailable.

    Runs exactly one verification, so that timing reveals nothing. An unknown account and an
    expired password cost the hasher the same time, spent on a decoy (`PasswordHasher.verify`).
    """
    password_hash = stored.to_verify(now) if stored else None
    try:
        normal = normalized_password(password)
    except Invalid:  # no account can have this password
        return await hasher.verify("", None)
    return await hasher.verify(normal, password_hash, as_typed=password)
