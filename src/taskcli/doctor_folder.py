"""What `taskcli doctor` finds in DATA_DIR, where it looks without making anything.

The warning that a disk is filling up: `is_filling` in `doctor_warnings.py`.
"""

import errno
import os
import shutil
import stat
from pathlib import Path

from taskcli.doctor_findings import Finding
from taskcli.exits import CONFIGURATION
from taskcore import Settings
from taskcore.adapters.folders import called, remedy

# The embedded database keeps up to 256 MiB of write-ahead log (max_wal_size), and needs as much
# again during a checkpoint.
_FREE_BYTES = 512 * 2**20


def disk(settings: Settings) -> Finding:
    """Whether the account may use the folder, and there is room."""
    if settings.database_url:
        return Finding("disk", ok=True, detail="not needed: DATABASE_URL is set")
    folder = settings.data_dir
    try:
        while not folder.exists():  # not made yet
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        entries = (folder / "postgres", folder / "postgres" / "cluster")
        for used in (folder, *(entries if folder == settings.data_dir else ())):
            if used.exists() and (finding := _unusable(used, settings.data_dir)):
                return finding
    except OSError as error:
        advice = "run this as the account that serves, or as root; or name another folder"
        return _bad_folder(folder, f"cannot be used: {error.strerror}", advice)
    return Finding(
        "disk",
        ok=free >= _FREE_BYTES,
        detail=f"{free // 2**20} MiB free for {settings.data_dir}",
        advice=f"make room: the database wants {_FREE_BYTES // 2**20} MiB",
    )


def _unusable(used: Path, data_dir: Path) -> Finding | None:
    """What keeps the database from starting: in PATH, which is DATA_DIR, in it or above it."""
    owner, me = used.stat().st_uid, os.geteuid()
    if os.access(used, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return None
    if os.statvfs(used).f_flag & os.ST_RDONLY:
        advice = "mount it for writing, or name another folder in DATA_DIR"
        return _bad_folder(used, "is on a file system that is mounted read-only", advice)
    if owner == me:
        return _bad_folder(used, "may not be written by its owner", f"run `chmod u+rwx {used}`")
    name = called(owner) or str(owner)
    gift = remedy(PermissionError(errno.EACCES, ""), data_dir).removeprefix("; ")
    advice = f"run this as {name} or as root, if {name} serves; else {gift}"
    return _bad_folder(used, f"belongs to {name}; this account may not write there", advice)


def _bad_folder(folder: Path, what: str, advice: str) -> Finding:
    detail = f"{folder} {what}"
    return Finding("disk", ok=False, detail=detail, advice=advice, code=CONFIGURATION)


def key(settings: Settings) -> Finding:
    """Whether the file can be read, by its account alone."""
    if settings.secret_key:
        return Finding("key", ok=True, detail="SECRET_KEY is set")
    file = settings.key_file
    try:
        mode = file.lstat().st_mode
        readable = stat.S_ISREG(mode) and os.access(file, os.R_OK)
    except FileNotFoundError:
        return Finding(
            "key",
            ok=True,
            detail=f"SECRET_KEY is not set, and there is no {file}, which a first start would make",
        )
    except OSError as error:
        return _bad_key(file, f"cannot be used: {error.strerror}", "run as the owner of DATA_DIR")
    if not readable:
        return _bad_key(file, "cannot be read, or is a link", "run as the owner of DATA_DIR")
    if mode & 0o077:
        return _bad_key(file, "can be read by others", f"run `chmod 600 {file}`")
    return Finding("key", ok=True, detail=f"{file} is there, and private")


def _bad_key(file: Path, what: str, advice: str) -> Finding:
    return Finding("key", ok=False, detail=f"{file} {what}", advice=advice, code=CONFIGURATION)
