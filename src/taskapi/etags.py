"""Entity tags, and the conditions of RFC 9110 section 13 that clients make with them."""

import re

from taskapi.problems import HttpProblem

# RFC 9110 section 8.8.3, in a list (section 5.6.1) that may have empty items. Nothing is tried
# twice, so that time grows with the length.
_ITEM = re.compile(r'[ \t]*+((?:W/)?"[!\x23-\x7e\x80-\xff]*+")?[ \t]*+(?:,|\Z)')
_VERSION = re.compile(r'"([1-9][0-9]{0,18})"')
# What a proxy that compresses adds (Apache, Caddy), and we: each coding of a version has a strong
# tag of its own. RFC 9110 section 8.8.3.3.
_CODING = re.compile(r'-(?:gzip|br|zstd|deflate)(?="\Z)')
_BLANKS = " \t"  # of HTTP; str.strip() would remove more
_MOST_ITEMS = 100  # empty ones too: each takes time, and a client has seen only a few versions


def etag(version: int) -> str:
    return f'"{version}"'


def well_formed(name: str, condition: str | None) -> str | None:
    """The condition of a write as it is. Raises HttpProblem unless it is `*` or a list of tags.

    To answer "changed meanwhile" would send the client to read the task again, which does not help.
    """
    if condition is None or condition.strip(_BLANKS) == "*" or _tags(condition):
        return condition
    detail = f'{name} takes the ETag of the task, with its quotes, such as {name}: "2"'
    raise HttpProblem(400, "malformed_request", f"{detail}; or *, or at most {_MOST_ITEMS} of them")


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether the condition matches (section 13.1.2): `*` does; the comparison is weak.

    `tag` is the one of the answer without a coding; those of other codings match too. A malformed
    condition matches none: a read is then answered in full.
    """
    if if_none_match is None:
        return False
    tags = (_CODING.sub("", each.removeprefix("W/")) for each in _tags(if_none_match))
    return if_none_match.strip(_BLANKS) == "*" or tag in tags


def if_match_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that the client accepts (section 13.1.1); None for any.

    Weak tags never match, and neither do tags that are not versions.
    """
    if if_match is None or if_match.strip(_BLANKS) == "*":
        return None
    versions = (_VERSION.fullmatch(_CODING.sub("", tag)) for tag in _tags(if_match))
    return frozenset(int(version[1]) for version in versions if version)


def _tags(header: str) -> list[str]:
    """The tags of a list; none unless the whole header is a list of at most _MOST_ITEMS."""
    tags: list[str] = []
    place = 0
    for _ in range(_MOST_ITEMS):
        item = _ITEM.match(header, place)
        if item is None:
            break
        if item[1]:
            tags.append(item[1])
        place = item.end()
        if place == len(header):
            return tags
    return []
