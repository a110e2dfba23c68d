"""What a password may be, and its normal form."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import normalized_password


def password_code(password: str) -> str | None:
    try:
        normalized_password(password)
    except Invalid as refusal:
        (problem,) = refusal.problems
        assert problem.field == "password"
        # A letter or two are in any sentence.
        assert len(password) <= 2 or password not in problem.detail
        return problem.code
    return None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_a_password_is_normalised_and_otherwise_left_alone(password: str) -> None:
    normal = unicodedata.normalize("NFC", password)
    if "\x00" in password:
        assert password_code(password) is not None
    elif 8 <= len(normal) <= 256:
        assert normalized_password(password) == normal
        assert normalized_password(normal) == normal
    else:
        assert password_code(password) in {"too_short", "too_long"}


@given(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=8, max_size=60
    )
)
def test_one_password_typed_in_two_forms_is_one_password(password: str) -> None:
    composed = unicodedata.normalize("NFC", password)
    decomposed = unicodedata.normalize("NFD", password)
    if len(composed) >= 8 and len(decomposed) <= 1024:
        assert normalized_password(decomposed) == normalized_password(composed)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("1234567", "too_short"),
        ("12345678", None),
        ("\u00e9" * 7, "too_short"),
        ("e\u0301" * 7, "too_short"),
        ("e\u0301" * 8, None),
        ("\U0001f600" * 7, "too_short"),
        ("\U0001f600" * 8, None),
        ("\U0001f469\u200d\U0001f4bb" * 3, None),
        ("x" * 256, None),
        ("x" * 257, "too_long"),
        ("e\u0301" * 256, None),
        ("e\u0301" * 257, "too_long"),
        ("e\u0301" * 600, "too_long"),
        ("        ", None),
        ("aaaaaaaa", None),
        ("1234567\x00", "control_character"),
        ("\x00" * 8, "control_character"),
        ("1234567\ud800", "control_character"),
        ("", "too_short"),
    ],
)
def test_the_length_of_a_password_is_counted_in_its_normal_form(
    password: str, expected: str | None
) -> None:
    assert password_code(password) == expected


def test_a_password_is_not_made_like_another() -> None:
    for one, other in [
        ("\ufb01rst-rate", "first-rate"),
        (" password1", "password1"),
        ("Password1", "password1"),
        ("pass\u00a0word", "pass word"),
    ]:
        assert normalized_password(one) != normalized_password(other)


def test_a_password_as_long_as_a_book_costs_nothing() -> None:
    book = "e\u0301\u0323" * 1_000_000
    started = time.perf_counter()
    assert password_code(book) == "too_long"
    assert time.perf_counter() - started < 0.05


def test_another_field_can_be_named() -> None:
    with pytest.raises(Invalid) as refusal:
        normalized_password("x", field="new_password")
    assert refusal.value.problems[0].field == "new_password"
