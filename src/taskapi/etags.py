"""Entity tags, and the conditions of RFC 9110 section 13 that clients make with them."""

import re

from taskapi.problems import HttpProblem

# RFC 9110 section 8.8.3, in a list (section 5.6.1) that may have empty items.
# Possessive (`*+`): no backtracking, so the time is linear in the length.
_ITEM = re.compile(r'[ \t]*+((?:W/)?"[!\x23-\x7e\x80-\xff]*+")?[ \t]*+(?:,|\Z)')
_VERSION = re.compile(r'"([1-9][0-9]{0,18})"')
# The suffix that we, and proxies that compress (Apache, Caddy), add to a tag: each coding of a
# version has a strong tag of its own (RFC 9110 section 8.8.3.3).
_CODING = re.compile(r'-(?:gzip|br|zstd|deflate)(?="\Z)')
_BLANKS = " \t"  # of HTTP; str.strip() would remove more
_MOST_ITEMS = 100  # empty items included; a client has seen only a few versions


def etag(version: int) -> str:
    return f'"{version}"'


def well_formed(name: str, condition: str | None) -> str | None:
    """Return the header of a write unchanged.

    Raises HttpProblem (400) unless it is absent, `*` or a list of tags: after a 412 the client
    would read the task again and send the same malformed header.
    """
    if condition is None or condition.strip(_BLANKS) == "*" or _tags(condition):
        return condition
    takes = f"`*`, or up to {_MOST_ITEMS} ETags of the task with their quotes"
    raise HttpProblem(400, "malformed_request", f'{name} takes {takes}, such as {name}: "2"')


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether the condition matches (section 13.1.2): `*` does; the comparison is weak.

    `tag` is the tag of the uncompressed answer. A client's tag of a compressed one matches too. A
    malformed condition matches none: a read is then answered in full.
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
    """The tags of a list. Empty if the header is no list, or has more than _MOST_ITEMS items."""
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
