"""The variables of this process, with those of `.env`, and where a user's data belongs.

Of several sources of a setting the first one wins: a flag of `taskcli serve` (`taskcli/serve.py`),
the environment, `.env`, the default (`settings.py`). `TASKCORE_NAME` wins over `NAME`, wherever the
two are set (`prefixes.py`).
"""

import os
import pwd
import re
import shlex
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from taskcore.domain.errors import Misconfigured

# These say only where services are defined, and count if DATABASE_URL names one.
_SERVICE_FILES = {"PGSERVICEFILE", "PGSYSCONFDIR"}


def environment(folder: Path | None = None) -> dict[str, str]:
    """The variables in the `.env` of `folder`, which those of the process override.

    `folder` is the working directory unless it is named. Raises Misconfigured, also for a file with
    which another account could give this process its settings, because it owns the file, a link to
    it, or may write to it.
    """
    file = (folder or Path()) / ".env"
    try:
        _check(file, file.lstat())
        with file.open(encoding="utf-8-sig") as opened:  # Windows editors may add a byte order mark
            _check(file, os.fstat(opened.fileno()))
            text = opened.read()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured([f".env cannot be read: {type(error).__name__}"]) from None
    return _parsed(text) | os.environ


def _check(file: Path, found: os.stat_result) -> None:
    """Root could change this process anyway, and so may own the file."""
    user, path = os.geteuid(), file.absolute()
    quoted = shlex.quote(str(path))
    if found.st_uid not in {user, 0}:
        problem = (
            f"{path} belongs to uid {found.st_uid}, and this process runs as uid {user}: start in"
            f" another folder or, if you trust what it says, run `chown -h {user} {quoted}`"
        )
        raise Misconfigured([problem])
    if found.st_mode & stat.S_IWOTH and not stat.S_ISLNK(found.st_mode):
        problem = f"every account may write to {path}: read it, then run `chmod o-w {quoted}`"
        raise Misconfigured([problem])


def forget_libpq_variables() -> None:
    """Remove libpq's variables, such as PGHOST, from the environment of this process.

    A connection string beats most of them, but not PGSERVICE, PGTZ, PGDATESTYLE and PGGEQO. For our
    own programs: a library must leave its host's environment as it is.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        if name not in _SERVICE_FILES:
            del os.environ[name]


def default_data_dir(env: Mapping[str, str]) -> Path | None:
    """The platform's folder for a user's data; None for an account without a home folder.

    DEFAULT_DATA_DIR names another, as the Makefile of a checkout does.
    """
    if folder := env.get("DEFAULT_DATA_DIR", "").strip():
        return Path(folder)
    # XDG Base Directory Specification: a relative path is invalid, and to be ignored.
    if sys.platform != "darwin" and (data := _absolute(env.get("XDG_DATA_HOME"))):
        return data / "taskcore"
    home = _absolute(env.get("HOME")) or _home_of_account()
    if home is None:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "taskcore"
    return home / ".local" / "share" / "taskcore"


def _absolute(text: str | None) -> Path | None:
    path = Path(text or "")
    return path if path.is_absolute() else None


def _home_of_account() -> Path | None:
    with suppress(KeyError):  # a container may run as a uid without a name
        return _absolute(pwd.getpwuid(os.getuid()).pw_dir)
    return None


_NAME = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*")
_VALUE = re.compile(
    r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^"'\s].*?|))\s*(?:(?<=\s)\#.*)?""", re.DOTALL
)
_ESCAPED = re.compile(r'\\(["\\$`])')


def _parsed(text: str) -> dict[str, str]:
    """NAME=value lines, without quotes around the value and without a comment after a space.

    Quotes mean what they mean to a shell, except that nothing is put in for `$`. Raises
    Misconfigured for quotes that do not end on their line.
    """
    values: dict[str, str] = {}
    for line in text.split("\n"):
        if line.lstrip().startswith("#") or (name := _NAME.match(line)) is None:
            continue
        value = _VALUE.fullmatch(line, name.end())
        if value is None:
            raise Misconfigured([f".env: the value of {name[1]} has quotes that do not match"])
        double, single, bare = value.groups()
        quoted = _ESCAPED.sub(r"\1", double) if double is not None else single
        values[name[1]] = bare if quoted is None else quoted
    return values


def is_not_utf_8(text: str) -> bool:
    """Whether Python has read bytes that are not UTF-8, which it keeps as lone surrogates."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def placed(path: str) -> str:
    """The path, for a message, but only in a folder that exists.

    Else it may be the secret itself, given by mistake where its file belongs.
    """
    folder = Path(path).absolute().parent
    is_path = Path(path).is_absolute() and folder != Path("/") and folder.is_dir()
    return f" ({path})" if is_path else ""
