"""Entity tags, and the conditions of RFC 9110 section 13 that clients make with them."""

import re
from collections.abc import Iterator

_TAG = re.compile(r'(W/)?("[^"]*")')
_VERSION = re.compile(r'"([1-9][0-9]{0,18})"')
_BLANKS = " \t"  # of HTTP; str.strip() would remove more
_MOST_TAGS = 100
NO_VERSION = 0  # matches no task: the first version is 1


def etag(version: int) -> str:
    return f'"{version}"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Section 13.1.2: `*` matches every tag; the comparison is weak."""
    if if_none_match is None:
        return False
    return if_none_match.strip(_BLANKS) == "*" or any(t == tag for _, t in _tags(if_none_match))


def if_match_versions(if_match: str | None) -> frozenset[int] | None:
    """Section 13.1.1: the versions that the client accepts; None for any.

    Weak tags never match, and neither do tags that are not versions.
    """
    if if_match is None or if_match.strip(_BLANKS) == "*":
        return None
    versions = (_VERSION.fullmatch(tag) for is_weak, tag in _tags(if_match) if not is_weak)
    return frozenset(int(version[1]) for version in versions if version)


def _tags(header: str) -> Iterator[tuple[bool, str]]:
    """Whether each tag of the list is weak, and the tag. Malformed items are left out.

    Only the first hundred tags count: each takes time, and a client has seen only a few versions.
    """
    for item in header.split(",", _MOST_TAGS)[:_MOST_TAGS]:
        if match := _TAG.fullmatch(item.strip(_BLANKS)):
            yield match[1] is not None, match[2]
