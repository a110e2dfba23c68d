#!/usr/bin/env python3
"""Fetch the libraries of the documentation pages and store them as package data.

    tools/vendor_docs.py             fetch, compare with PROVENANCE.json, store
    tools/vendor_docs.py --accept    store what was fetched and record its hashes; for a new version
                                     in PROVENANCE.json, whose diff is then reviewed

Needs npm. `npm pack` downloads the package as published and runs no install scripts. Versions are
exact, because npm would choose one by the local Node (redoc 3 is not wanted: see decision 5).
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ASSETS = Path(__file__).parents[1] / "src" / "taskapi" / "docs" / "assets"
PROVENANCE = ASSETS / "PROVENANCE.json"


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch the libraries of the documentation pages.")
    parser.add_argument("--accept", action="store_true", help="record the fetched hashes")
    accept: bool = parser.parse_args().accept

    provenance = json.loads(PROVENANCE.read_text())
    mismatches: list[str] = []
    contents: dict[str, bytes] = {}
    for package in provenance["packages"]:
        name = f"{package['name']}@{package['version']}"
        archive = fetch(name)
        mismatches += recorded(package, "integrity", integrity(archive), name)
        for file in package["files"]:
            content = member(archive, file["path"])
            found = hashlib.sha256(content).hexdigest()
            mismatches += recorded(file, "sha256", found, f"{name} {file['path']}")
            contents[file["stored"]] = content

    if mismatches and not accept:
        sys.stderr.write("\n".join(["Not stored:", *mismatches, ""]))
        return 1
    for stored, content in contents.items():
        packed = gzip.compress(content, mtime=0) if stored.endswith(".gz") else content
        (ASSETS / stored).write_bytes(packed)
        sys.stdout.write(f"{len(packed):>9}  {stored}\n")
    PROVENANCE.write_text(json.dumps(provenance, indent=2) + "\n")
    return 0


def fetch(package: str) -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is needed to fetch packages")
    with TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603  the package's name comes from our own file
            [npm, "pack", package, "--silent", "--pack-destination", folder],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def member(archive: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        content = tar.extractfile(f"package/{path}")
        if content is None:
            raise FileNotFoundError(path)
        return content.read()


def integrity(archive: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


def recorded(entry: dict[str, Any], key: str, found: str, what: str) -> list[str]:
    """Record the found value in the entry; a message if another one was expected."""
    expected = entry[key]
    entry[key] = found
    return [] if found == expected else [f"{what}: {key} is {found}, expected {expected or 'none'}"]


if __name__ == "__main__":
    sys.exit(main())
