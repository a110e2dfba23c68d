"""Labels, and which are alike."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.labels import check_labels, label_key

NAMES = st.text(st.sampled_from("aAéÉßẞsΣςİıᾳΐǰﬁ\u0301\u0345\u0323") | st.characters(), max_size=9)  # noqa: RUF001


def told(*labels: str) -> list[tuple[str, str]]:
    return [(problem.field, problem.code) for problem in check_labels(labels)]


@given(NAMES)
def test_a_key_is_its_own_key_whatever_form_the_name_has(name: str) -> None:
    key = label_key(name)
    assert label_key(key) == key
    assert label_key(normalize("NFD", name)) == key
    assert label_key(normalize("NFC", name)) == key


def test_case_makes_no_difference_and_accents_do() -> None:
    assert label_key("BÜRO") == label_key("bu\u0308ro")
    assert label_key("STRASSE") == label_key("Straße")
    assert label_key("Büro") != label_key("Buro")


def test_labels_within_their_bounds_break_no_rule() -> None:
    labels = ["Home", "e\u0301", " ", "x" * 64, *(f"label {n}" for n in range(16))]
    assert check_labels(labels) == []
    assert check_labels([]) == []


def test_each_broken_rule_names_its_label() -> None:
    assert told("", "a", "x" * 65, "A", "\x00", "\ud800", "b") == [
        ("labels/0", "too_short"),
        ("labels/2", "too_long"),
        ("labels/3", "duplicate_label"),
        ("labels/4", "control_character"),
        ("labels/5", "not_unicode"),
    ]
    assert told(*(f"label {n}" for n in range(21))) == [("labels", "too_many")]


@pytest.mark.parametrize("control", "\t\n\r\x1b\x7f\x85\x9f")
def test_a_label_has_no_control_character_and_is_one_line(control: str) -> None:
    assert told(f"a{control}b") == [("labels/0", "control_character")]


def test_what_is_no_list_of_texts_is_refused() -> None:
    assert [p.code for p in check_labels("home")] == ["wrong_type"]
    assert [(p.field, p.code) for p in check_labels(["a", 1])] == [("labels/1", "wrong_type")]  # type: ignore[list-item]
