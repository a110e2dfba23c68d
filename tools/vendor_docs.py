#!/usr/bin/env python3
"""Fetches the libraries of the documentation pages again and stores them as package data.

    tools/vendor_docs.py             fetch, compare with PROVENANCE.json, store
    tools/vendor_docs.py --accept    the same, but record what was fetched: after a new version
                                     was written into PROVENANCE.json, and read in the diff

Needs npm. `npm pack` takes the package as published and runs none of its install scripts; versions
are exact, because npm would choose by the Node at hand (redoc 3 needs a newer one, and is not
wanted here).
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
    parser.add_argument("--accept", action="store_true", help="record the hashes that were found")
    accept: bool = parser.parse_args().accept

    provenance = json.loads(PROVENANCE.read_text())
    surprises: list[str] = []
    contents: dict[str, bytes] = {}
    for package in provenance["packages"]:
        name = f"{package['name']}@{package['version']}"
        archive = fetch(name)
        surprises += settle(package, "integrity", integrity(archive), name)
        for file in package["files"]:
            content = member(archive, file["path"])
            found = hashlib.sha256(content).hexdigest()
            surprises += settle(file, "sha256", found, f"{name} {file['path']}")
            contents[file["stored"]] = content

    if surprises and not accept:
        sys.stderr.write("\n".join(["Not stored:", *surprises, ""]))
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


def settle(entry: dict[str, Any], key: str, found: str, what: str) -> list[str]:
    """Write down what was found, and say so if it was not what was expected."""
    expected = entry[key]
    entry[key] = found
    return [] if found == expected else [f"{what}: {key} is {found}, expected {expected or 'none'}"]


if __name__ == "__main__":
    sys.exit(main())
