"""How long texts may be, and which characters they may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.dues import TIME_ZONE
from taskcore.domain.emails import EMAIL
from taskcore.domain.errors import Invalid
from taskcore.domain.passwords import PASSWORD
from taskcore.domain.refusals import refuse
from taskcore.domain.tasks import DESCRIPTION, TITLE
from taskcore.domain.text_rules import TextRule
from taskcore.domain.users import FULL_NAME

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
