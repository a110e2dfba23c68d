"""Output for people and, as JSON, for programs."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from taskcli import output
from taskcli.output import show
from taskcli.serve import base_url

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))


RECORD = {
    "id": 7,
    "title": "one\ntwo",
    "description": "one\r\n  two\tx\x1b\n\nid  8",
    "none": None,
    "labels": (),
    "yes": True,
    "when": MOMENT,
}


def test_a_record_on_a_terminal_is_aligned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    show(RECORD, as_json=False)
    assert capsys.readouterr().out.split("\n") == [
        "id           7",
        "title        one\\ntwo",
        "description  one",
        "               two\\tx\\x1b",
        "",
        "             id \\x208",
        "none         -",
        "labels       -",
        "yes          yes",
        "when         2030-01-02 01:04:05Z",
        "",
    ]


def test_a_record_in_a_pipe_has_a_tab_in_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Only a description has several lines. Its later ones name no field, so none is forged."""
    show(RECORD, as_json=False)
    assert capsys.readouterr().out.split("\n") == [
        "id\t7",
        "title\tone\\ntwo",
        "description\tone",
        "\t  two\\tx\\x1b",
        "\t",
        "\tid \\x208",
        "none\t-",
        "labels\t-",
        "yes\tyes",
        "when\t2030-01-02 01:04:05Z",
        "",
    ]


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
        "detail\told=user, new\\x1b=1",
        "none\t-",
        f"session\t{session}",
    ]
    show(record, as_json=True)
    assert json.loads(capsys.readouterr().out)["session"] == str(session)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("tasks.example.org", "http://tasks.example.org:8000"),
        ("::", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - what containers set
        ("2001:db8::1", "http://[2001:db8::1]:8000"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:8000"),
    ],
)
def test_the_address_that_a_server_prints_can_be_opened(host: str, url: str) -> None:
    assert base_url(host, 8000) == url
