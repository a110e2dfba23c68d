"""Keys: generated into a file, derived for a purpose, and pseudonyms made with one."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from taskcore.adapters.folders import Folder, remedy
from taskcore.domain.errors import Misconfigured
from taskcore.settings import Settings


def derived_key(secret: bytes, purpose: str) -> bytes:
    """A key of 64 bytes for one purpose, independent of the keys for other purposes.

    One step of HKDF-Expand (RFC 5869) with SHA-512, which suffices for 64 bytes.
    """
    return hmac.digest(secret, purpose.encode() + b"\x01", hashlib.sha512)


@dataclass(frozen=True, slots=True)
class Keys:
    """A key for each purpose, derived from the present secret and from each old one."""

    secrets: tuple[bytes, ...] = field(repr=False)
    """The present one first."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of servers: the key of `settings.key_file` is generated if there is none."""
        return cls.at_hand(settings) or cls._with(generated_secret(settings.key_file), settings)

    @classmethod
    def at_hand(cls, settings: Settings) -> Self | None:
        """None where the settings have no key, and `settings.key_file` is not there."""
        secret = settings.secret_key
        present = secret.reveal().encode() if secret else kept_secret(settings.key_file)
        return None if present is None else cls._with(present, settings)

    @classmethod
    def _with(cls, present: bytes, settings: Settings) -> Self:
        return cls((present, *(key.reveal().encode() for key in settings.old_secret_keys)))

    @property
    def present(self) -> bytes:
        return self.secrets[0]

    def derived(self, purpose: str) -> tuple[bytes, ...]:
        """The key of the present secret first."""
        return tuple(derived_key(secret, purpose) for secret in self.secrets)


@dataclass(frozen=True, slots=True)
class HmacPseudonyms:
    key: bytes = field(repr=False)

    def of(self, name: str) -> str:
        # 128 bits: enough to avoid collisions, short enough to read.
        return hmac.digest(self.key, name.encode(errors="replace"), hashlib.sha256)[:16].hex()


def generated_secret(file: Path) -> bytes:
    """The key in `file`, created with 64 random hexadecimal digits if it does not exist.

    Raises as `kept_secret`, and Misconfigured if it cannot be created.
    """
    with _usable(file), Folder.at(file.parent.absolute()) as folder:
        if folder.status(file.name) is None:
            _create(folder, file.name, secrets.token_hex(32))
        return _secret_in(folder, file)


def kept_secret(file: Path) -> bytes | None:
    """The key in `file`; None if it does not exist.

    Raises Misconfigured if it cannot be read, is damaged, or if other users can read it.
    """
    with _usable(file):
        if not file.parent.exists():  # which `Folder.at` would make
            return None
        with Folder.at(file.parent.absolute()) as folder:
            return _secret_in(folder, file) if folder.status(file.name) else None


@contextmanager
def _usable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = remedy(error, file.parent)
        raise Misconfigured([f"{file} cannot be used: {error.strerror}{advice}"]) from None


def _secret_in(folder: Folder, file: Path) -> bytes:
    with os.fdopen(folder.open(file.name, os.O_RDONLY), "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_mode & 0o077:
            raise Misconfigured([f"{file} can be read by others; run `chmod 600 {file}`"])
        if status.st_uid not in {os.geteuid(), os.fstat(folder.fd).st_uid}:
            raise Misconfigured([f"{file} belongs to another user, who may have put it there"])
        secret = stream.read(_LARGEST_SECRET).strip()
    if len(secret) < _SECRET_BYTES:
        raise Misconfigured([f"{file} is damaged; restore it, or delete it to end all sessions"])
    return secret


def place_secret(file: Path, secret: bytes) -> None:
    """Write this key into `file`, atomically, in the place of another one.

    Raises Misconfigured if it cannot be written.
    """
    try:
        with Folder.at(file.parent.absolute()) as folder:
            name = f"{file.name}.restored"
            folder.remove(name)  # left by a process that was killed
            _create(folder, name, secret.decode())
            folder.rename(name, file.name)
    except OSError as error:
        raise Misconfigured([f"{file} cannot be written: {error.strerror}"]) from None


_SECRET_BYTES = 32
_LARGEST_SECRET = 65536


def _create(folder: Folder, name: str, text: str) -> None:
    """Create a file atomically, and never replace one: all processes must get the same key."""
    draft = f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
    # Root gives it to the owner of the folder: the service must be able to read the file.
    with os.fdopen(folder.create(draft), "w") as stream:
        try:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            with suppress(FileExistsError):
                folder.link(draft, name)
        finally:
            folder.remove(draft)
