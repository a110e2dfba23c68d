"""The scripts and styles of the documentation pages, packed and named by their content."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parent / "assets"

# Only what the pages load: licences and provenance are for readers of the source.
_SERVED = (
    "swagger-ui-bundle.js",
    "swagger-ui.css",
    "swagger-init.js",
    "redoc.standalone.js",
    "redoc-init.js",
)
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}


@dataclass(frozen=True)
class Asset:
    # The name contains a digest of the content, so that a browser may cache the file for ever.
    url_name: str
    digest: str
    media_type: str
    packed: bytes  # by gzip


@cache
def assets() -> Mapping[str, Asset]:
    """Every asset by its file name. Read at the first call (0.8 MB, a few ms), then kept."""
    return MappingProxyType({name: _load(name) for name in _SERVED})


@cache
def by_url_name() -> Mapping[str, Asset]:
    return MappingProxyType({asset.url_name: asset for asset in assets().values()})


def _load(name: str) -> Asset:
    packed_file = FOLDER / f"{name}.gz"
    packed = (
        packed_file.read_bytes()
        if packed_file.exists()
        else gzip.compress((FOLDER / name).read_bytes(), mtime=0)
    )
    digest = sha256(packed).hexdigest()[:16]
    stem, suffix = Path(name).stem, Path(name).suffix
    return Asset(f"{stem}.{digest}{suffix}", digest, _MEDIA_TYPES[suffix], packed)
