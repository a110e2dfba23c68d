"""Labels: the short names that people give to tasks."""

import re
from collections.abc import Sequence
from unicodedata import normalize

from taskcore.domain.errors import Problem
from taskcore.domain.text_rules import TextRule

# PostgreSQL checks the number of labels too: change `schema.py`, and add a migration.
MAX_LABELS = 20
MIN_LABEL, MAX_LABEL = 1, 64  # code points
FIELD = "labels"

# TextRule allows these in a text of several lines. A label is a name in one line.
_LINES = re.compile(r"[\t\n\r]")


def label_key(name: str) -> str:
    """The key of a label. Labels with the same key are alike: `Büro`, `büro`, in any normal form.

    Lists of labels show the first of those that are alike, by code points; see LabelCount.
    """
    return normalize("NFC", normalize("NFC", name).casefold())


def check_labels(labels: Sequence[str]) -> list[Problem]:
    """Every broken rule. The field is `labels`, or `labels/3` for the fourth.

    If there are too many labels, only that is reported; this bounds the work.
    """
    # A text is a sequence of texts too, but never meant as one.
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        return [Problem(FIELD, "takes a list of texts", "wrong_type")]
    if len(labels) > MAX_LABELS:
        return [Problem(FIELD, f"takes at most {MAX_LABELS} labels", "too_many")]
    problems: list[Problem] = []
    keys: set[str] = set()
    for place, label in enumerate(labels):
        field = f"{FIELD}/{place}"
        if problem := label_problem(field, label):
            problems.append(problem)
        elif (key := label_key(label)) in keys:
            detail = "is there already; upper and lower case are the same"
            problems.append(Problem(field, detail, "duplicate_label"))
        else:
            keys.add(key)
    return problems


def label_problem(field: str, label: object) -> Problem | None:
    """The rule that the label breaks."""
    problem = TextRule(field, MIN_LABEL, MAX_LABEL).problem(label)
    if problem is None and _LINES.search(str(label)):
        return Problem(field, "must not hold control characters", "control_character")
    return problem
