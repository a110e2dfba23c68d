"""The limits on input."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import normalized_password
from taskcore.domain.rules import (
    DEFAULT_LIMIT,
    DESCRIPTION,
    EMAIL,
    FULL_NAME,
    MAX_LIMIT,
    MAX_SKIP,
    PASSWORD,
    TIME_ZONE,
    TITLE,
    TextRule,
    check_slice,
    refuse,
)

RULES = [TITLE, DESCRIPTION, FULL_NAME, EMAIL]
SURROGATES = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)
CONTROLS = st.characters(categories=["Cc"], exclude_characters="\t\n\r")
GOOD = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\r")


def code(rule: TextRule, text: str) -> str | None:
    problem = rule.problem(text)
    return problem.code if problem else None


@pytest.mark.parametrize("rule", RULES)
@given(text=st.text(GOOD, max_size=300))
def test_text_within_its_bounds_is_taken_as_it_is(rule: TextRule, text: str) -> None:
    if rule.min <= len(text) <= rule.max:
        assert rule.check(text) is text
    else:
        assert code(rule, text) in {"too_short", "too_long"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("character", ["a", "\u00e9", "\U0001f600", "\u200d", "\u0301"])
def test_bounds_count_code_points(rule: TextRule, character: str) -> None:
    assert code(rule, character * rule.max) is None
    assert code(rule, character * (rule.max + 1)) == "too_long"
    assert code(rule, character * rule.min) is None
    if rule.min:
        assert code(rule, character * (rule.min - 1)) == "too_short"


@given(st.text(GOOD, max_size=20), CONTROLS, st.text(GOOD, max_size=20))
def test_a_control_character_anywhere_is_refused(before: str, control: str, after: str) -> None:
    assert code(TITLE, before + control + after) == "control_character"


@given(st.text(GOOD, max_size=20), SURROGATES, st.text(GOOD, max_size=20))
def test_half_a_surrogate_pair_anywhere_is_refused(before: str, half: str, after: str) -> None:
    assert code(TITLE, before + half + after) == "not_unicode"


@given(st.text(st.characters(), max_size=300))
def test_what_is_taken_can_be_stored(text: str) -> None:
    if code(DESCRIPTION, text) is None:
        assert text.encode().decode() == text
        assert "\x00" not in text


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        refuse(TITLE.problem(""), None, DESCRIPTION.problem("\x00"))
    assert [(p.field, p.code) for p in refusal.value.problems] == [
        ("title", "too_short"),
        ("description", "control_character"),
    ]
    refuse(None, None)
    refuse()


def test_a_problem_never_repeats_what_was_sent() -> None:
    for rule in RULES:
        for text in ("hunter2" * 1000, "hunter2\x00", "hunter2\ud800"):
            problem = rule.problem(text)
            assert problem is not None
            assert "hunter2" not in repr(problem)


def test_limits_are_those_of_the_contract() -> None:
    limits = {rule.field: (rule.min, rule.max) for rule in (*RULES, TIME_ZONE, PASSWORD)}
    assert limits == {
        "title": (1, 255),
        "description": (0, 5000),
        "full_name": (0, 255),
        "time_zone": (1, 64),
        "email": (3, 254),
        "password": (8, 256),
    }
    assert (MAX_SKIP, DEFAULT_LIMIT, MAX_LIMIT) == (10_000, 100, 100)


# Passwords


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


# Pages


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
