"""How long a page is, and how far a reader may skip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Invalid
from taskcore.domain.pages import DEFAULT_LIMIT, MAX_LIMIT, MAX_SKIP, check_slice


def test_the_sizes_of_pages_are_those_of_the_contract() -> None:
    assert (MAX_SKIP, DEFAULT_LIMIT, MAX_LIMIT) == (10_000, 100, 100)


@given(st.integers(), st.integers())
def test_a_page_is_asked_for_within_bounds(skip: int, limit: int) -> None:
    wrong = [
        name
        for name, fits in [("skip", 0 <= skip <= 10_000), ("limit", 1 <= limit <= 100)]
        if not fits
    ]
    try:
        check_slice(skip, limit)
        found = []
    except Invalid as refusal:
        found = [problem.field for problem in refusal.problems]
    assert found == wrong


def test_who_skips_too_far_is_told_of_cursors() -> None:
    with pytest.raises(Invalid, match="from 0 to 10000; read on with a cursor"):
        check_slice(10_001, 1)


@pytest.mark.parametrize(("skip", "limit"), [(0, 1), (0, 100), (10_000, 1)])
def test_the_bounds_of_a_page_belong_to_it(skip: int, limit: int) -> None:
    check_slice(skip, limit)
