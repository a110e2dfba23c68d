"""Output for people and, as JSON, for programs."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcli.output import _table, show, visible

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))


@given(st.text(st.characters()))
def test_visible_text_has_no_control_characters(text: str) -> None:
    shown = visible(text)
    hidden = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= {"\u200c", "\u200d"}
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("a\x9bb", "a\\x9bb"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("naïve 👩\u200d🔬 日本", "naïve 👩\u200d🔬 日本"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_record_for_people_has_one_line_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    record = {
        "id": 7,
        "text": "one\r\ntwo\x1b",
        "none": None,
        "yes": True,
        "when": MOMENT,
    }
    show(record, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "id    7",
        "text  one",
        "      two\\x1b",
        "none  -",
        "yes   yes",
        "when  2030-01-02 01:04:05Z",
    ]


def test_a_long_title_is_cut_so_that_the_row_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "42")
    moment = "2030-01-02 01:04:05Z"
    table = _table(["id", "title", "updated_at"], [["1234567", "Letter " * 36, moment]])
    assert table.splitlines()[-1] == f"1234567  Letter Let…  {moment}"


def test_json_is_ascii_with_full_timestamps(capsys: pytest.CaptureFixture[str]) -> None:
    show({"title": "é\u202e\x1b", "when": MOMENT, "none": None}, as_json=True)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "title": "é\u202e\x1b",
        "when": "2030-01-02T01:04:05.678901Z",
        "none": None,
    }
    show({"when": MOMENT.astimezone(UTC).replace(microsecond=0)}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"when": "2030-01-02T01:04:05Z"}


def test_nested_fields_are_shown_with_their_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = UUID("01234567-89ab-cdef-0123-456789abcdef")
    record = {"detail": {"old": "user", "new\x1b": 1}, "none": {}, "session": session}
    show(record, as_json=False)
    assert capsys.readouterr().out.split("\n")[:3] == [
        "detail   old=user, new\\x1b=1",
        "none     -",
        f"session  {session}",
    ]
    show(record, as_json=True)
    assert json.loads(capsys.readouterr().out)["session"] == str(session)
