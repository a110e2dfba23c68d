"""What a log line may contain, in both formats."""

import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskapi.logs import formatter, rendered

FORGED = (
    "x\n2030-01-02T03:04:05Z [info     ] login.succeeded\r\x1b[2J\x9b\x7f\x85\u2028\u202e\ud800"
)
TEXTS = st.text(
    st.one_of(st.sampled_from("\r\n\t \x1b\x7f\x85\u2028\u202e\ud800"), st.characters())
)


def line(style: str, **event: Any) -> str:
    made: Any = {"timestamp": "2030-01-02T03:04:05Z", "level": "info", **event}
    for processor in rendered(style):
        made = processor(None, "info", made)
    return str(made)


def fail(text: str) -> None:
    raise OSError(text)


def raised(text: str) -> Exception:
    try:
        fail(text)
    except OSError as error:
        return error
    raise AssertionError


@given(TEXTS)
@example(FORGED)
def test_no_data_begins_or_changes_a_line_on_a_terminal(text: str) -> None:
    """LG-6: texts, lists, and the text of an error, which stands indented below."""
    event = {"event": text, "a": text, "b": [text], "c": {text: text}}
    shown = line("console", **event)
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
    first, *others = line("console", **event, exc_info=raised(text)).split("\n")
    assert first.rstrip() == shown.rstrip()
    assert others[0] == "    Traceback (most recent call last):"
    for other in others:
        assert other.startswith("    ")
        assert other.replace("\u200c", "").replace("\u200d", "").isprintable()


@given(TEXTS)
@example(FORGED)
def test_a_line_of_a_library_is_one_line_too(text: str) -> None:
    """LG-6: what it logs about a file or a request, in both formats."""
    record = logging.makeLogRecord({"msg": "%s failed", "args": (text,), "levelname": "WARNING"})
    for style in ("console", "json"):
        assert len(formatter(style).format(record).splitlines()) == 1, style


def test_blanks_in_a_row_in_the_words_of_a_library_are_one() -> None:
    """As an escape they would be noise; as they are, they could forge a column."""
    said = 'connection failed: FATAL:  role "app" does not exist '
    shown = line("console", event=said)
    assert 'FATAL: role "app" does not exist' in shown
    assert r"\x20" not in shown


@given(TEXTS)
@example(FORGED)
def test_a_line_of_json_is_ascii_and_means_the_same(text: str) -> None:
    """LG-4: in the other format nothing acts on a terminal, and every reader finds its end."""
    event = {"event": text, "a": [text], "b": {text: text}}
    shown = line("json", **event, exc_info=raised(text))
    assert shown.isascii()
    assert shown.isprintable()
    read = json.loads(shown)
    assert {name: read[name] for name in event} == event
    assert text in read["exception"]


@pytest.mark.parametrize("value", [{1: "\ud800"}, {"at": object(), "\ud800": 1}, b"\xff"])
def test_half_a_character_fails_no_line(value: object) -> None:
    assert line("json", event="x\ud800", value=value).isprintable()
