"""What takes time with the length of a request is bounded before it begins."""

import re
from typing import Any, NoReturn

import pytest

from taskapi import edge, etags


class Query(bytes):
    """Refuses to be split."""

    def split(self, *_: object) -> NoReturn:
        raise AssertionError(f"{len(self)} bytes are split")


@pytest.mark.parametrize("content", [b"&" * 64_000, b"%00&" * 16_000, b"%FF" * 20_000])
def test_of_a_query_that_is_too_long_only_the_beginning_is_read(content: bytes) -> None:
    """The parts of all of it took 20 ms of the event loop before."""
    scope: Any = {"headers": [], "query_string": Query(content)}
    refusal = edge._header_or_query_refusal(scope)
    assert refusal is not None
    assert [error.code for error in refusal.errors or ()] == ["too_long"]


def test_what_a_condition_costs_is_bounded_by_its_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty ones count: 15 000 commas took 10 ms before."""
    tried: list[int] = []

    class Pattern:
        def match(self, header: str, place: int) -> re.Match[str] | None:
            tried.append(place)
            return item.match(header, place)

    item = etags._ITEM
    monkeypatch.setattr(etags, "_ITEM", Pattern())
    assert not etags.matches("," * 15_000, '"1"')
    assert len(tried) == etags._MOST_ITEMS
