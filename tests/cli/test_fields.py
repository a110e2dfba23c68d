"""The options for the fields of a task."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import pytest
from cyclopts import App, CoercionError, Parameter

from taskcli.arguments import whole
from taskcli.tasks.fields import Cleared, Content, optional


class Energy(StrEnum):
    LOW = "low"
    VERY_HIGH = "very_high"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(Content):
    """Those of a task whose due is a number, and its day a word."""

    due_at: Annotated[
        int | Cleared | None, optional(whole, "MINUTES"), Parameter(help="How long.")
    ] = None
    due_date: Annotated[
        Energy | Cleared | None, optional(Energy), Parameter(help="How much it takes.")
    ] = None


NONE = Options()


@pytest.fixture
def app() -> App:
    app = App(result_action="return_value", print_error=False, exit_on_error=False)

    @app.default
    def changes(*, options: Options = NONE) -> Any:
        return options.changes(datetime(2030, 1, 1, tzinfo=UTC), "UTC")

    return app


def test_a_field_that_may_be_null_takes_none(app: App) -> None:
    assert app(["--due-date", "very_high"]) == {"due_date": Energy.VERY_HIGH}
    assert app(["--due-date", "None"]) == {"due_date": None}
    assert app(["--due-at", "5"]) == {"due_at": 5}
    assert app([]) == {}


@pytest.mark.parametrize(
    ("option", "typed", "refusal"),
    [
        ("--due-date", "high", '"high" is none of low, very_high, none; did you mean very_high'),
        ("--due-at", "5.5", '"5.5" is not a whole number, or none'),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_does(
    app: App, option: str, typed: str, refusal: str
) -> None:
    with pytest.raises(CoercionError, match=refusal):
        app([option, typed])


def test_the_help_says_that_none_clears_it(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app(["--help"])
    page = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "[choices: low, very_high, none]" in page
    assert "--due-at MINUTES|none How long." in page
