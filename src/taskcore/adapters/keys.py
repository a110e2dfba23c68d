"""Keys: generated into a file, derived for a purpose, and pseudonyms made with one."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from taskcore.domain.errors import Misconfigured


def derived_key(secret: bytes, purpose: str) -> bytes:
    """A key of 64 bytes for one purpose, independent of the keys for other purposes.

    One step of HKDF-Expand (RFC 5869) with SHA-512, which suffices for 64 bytes.
    """
    return hmac.digest(secret, purpose.encode() + b"\x01", hashlib.sha512)


@dataclass(frozen=True, slots=True)
class HmacPseudonyms:
    key: bytes = field(repr=False)

    def of(self, name: str) -> str:
        # 128 bits: enough to avoid collisions, short enough to read.
        return hmac.digest(self.key, name.encode(errors="replace"), hashlib.sha256)[:16].hex()


def generated_secret(file: Path) -> bytes:
    """The key in `file`, created with 64 random hexadecimal digits if it does not exist.

    Raises Misconfigured if it cannot be created or read, or if other users can read it.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file, secrets.token_hex(32))
        status, folder = file.stat(), file.parent.stat()
        if status.st_mode & 0o077:
            raise Misconfigured([f"{file} can be read by others; run `chmod 600 {file}`"])
        if status.st_uid not in {os.geteuid(), folder.st_uid}:
            raise Misconfigured([f"{file} belongs to another user, who may have put it there"])
        secret = file.read_bytes().strip()
    except OSError as error:
        raise Misconfigured([f"{file} cannot be used: {error.strerror}"]) from None
    if len(secret) < _SECRET_BYTES:
        raise Misconfigured([f"{file} is damaged; restore it, or delete it to end all sessions"])
    return secret


_SECRET_BYTES = 32


def _create(file: Path, text: str) -> None:
    """Atomic, and never replaces a file: all processes must get the same key."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            if os.geteuid() == 0:  # the service that owns the folder must be able to read the file
                folder = file.parent.stat()
                os.fchown(stream.fileno(), folder.st_uid, folder.st_gid)
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
