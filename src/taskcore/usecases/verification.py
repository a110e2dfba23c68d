"""Verify a password; an unknown account takes as long as a wrong password."""

from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import normalized_password
from taskcore.ports import PasswordHasher


async def verified(hasher: PasswordHasher, password: str, password_hash: str | None) -> bool:
    """Whether the password is right. Raises Unavailable.

    Runs exactly one verification, so that timing reveals nothing. A hash of None, for an
    unknown account, costs the hasher the same time, spent on a decoy (`PasswordHasher.verify`).
    """
    try:
        normal = normalized_password(password)
    except Invalid:  # no account can have this password
        return await hasher.verify("", None)
    return await hasher.verify(normal, password_hash, as_typed=password)
