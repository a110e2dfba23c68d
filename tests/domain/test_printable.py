"""Text as people may be shown it."""

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskcore.domain.printable import ascii_json, block, quoted, visible

# Characters that mislead, among letters, so that they stand beside each other often.
MISLEADING = " \t\r\n\v\f\x00\x1b\x7f\x85\x9b\xa0\xad\u034f\u115f\u1680\u200b\u200c\u200d\u2003"
MISLEADING += "\u2028\u2029\u202e\u2066\u2800\u3000\u3164\ue000\ufeff\uffa0\ufffe\ud800\U000e0041"
TEXTS = st.text(
    st.one_of(st.sampled_from(MISLEADING + 'a"\\=日👩'), st.characters(exclude_categories=["Cs"]))
)


@given(TEXTS)
@example("a  b ")
def test_what_is_visible_is_one_line_of_single_blanks(text: str) -> None:
    shown = visible(text)
    invisible = {c for c in shown if not c.isprintable()} - {"\u200c", "\u200d"}
    assert not invisible
    assert not {c for c in shown if unicodedata.category(c).startswith(("Z", "C"))} - {
        *" \u200c\u200d"
    }
    assert "  " not in shown
    assert shown == shown.strip()
    assert bool(shown) == bool(text)
    assert visible(shown) == shown


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1), min_size=1))
def test_words_with_single_blanks_are_shown_as_they_are(words: list[str]) -> None:
    blank = set("\u115f\u1160\u2800\u3164\uffa0")
    text = " ".join(word for word in words if not blank & set(word))
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\ntwo", "one\\r\\ntwo"),
        ("a\tb", "a\\tb"),
        ("a   b", "a \\x20\\x20b"),
        (" a ", "\\x20a\\x20"),
        (" ", "\\x20"),
        ("a\xa0b\u3000c\u2800d", "a\\xa0b\\u3000c\\u2800d"),
        ("\x1b[2J\x7f", "\\x1b[2J\\x7f"),
        ("a\x9bb\x85c\u2028d", "a\\x9bb\\x85c\\u2028d"),
        ("a\u202eb\u2066c\u200bd", "a\\u202eb\\u2066c\\u200bd"),
        ("a\ue000b\U000e0041", "a\\ue000b\\U000e0041"),
        ("a\ud800", "a\\ud800"),
        ("ad\u200cmin \u200d", "ad\\u200cmin \\u200d"),
        ("日\u200d\u200d本", "日\\u200d\\u200d本"),
        ("naïve 👩\u200d🔬 日本 می\u200cخو", "naïve 👩\u200d🔬 日本 می\u200cخو"),
        ("", ""),
    ],
)
def test_what_misleads_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(TEXTS)
@example('x", task 8, "y')
@example("x\\")
@example('x\\", of "')
def test_a_text_does_not_end_its_quotes(text: str) -> None:
    shown = quoted(text)
    assert visible(shown) == shown
    inside = shown[1:-1].replace("\\\\", "")
    assert shown[0] == shown[-1] == '"'
    assert '"' not in inside.replace('\\"', "")
    assert not inside.endswith("\\")


def test_a_long_quote_is_cut() -> None:
    assert quoted("x" * 40) == f'"{"x" * 40}"'
    assert quoted("x" * 41) == f'"{"x" * 39}…"'


def test_a_block_keeps_its_lines_and_their_indentation() -> None:
    assert block("a:\r\n    b  c\x1b\n\n\td\u2028") == [
        "a:",
        "    b \\x20c\\x1b",
        "",
        "\\td\\u2028",
    ]


@given(st.dictionaries(TEXTS, TEXTS))
def test_json_in_ascii_means_the_same(value: dict[str, str]) -> None:
    shown = ascii_json(json.dumps(value, ensure_ascii=False))
    assert shown.isascii()
    assert shown.isprintable()
    assert json.loads(shown) == value
