"""The README shows a task as the API does, and lists its calls and those of the command line."""

import json
import re
from pathlib import Path

from taskapi.task_views import TaskView
from taskcli.command_list import COMMANDS
from taskcore.domain.tasks import TaskChanges
from tests.api.documented import operations
from tests.api.people import V1
from tests.guards import agree

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_a_task_has_every_field() -> None:
    """Where one is shown whole: elsewhere an example selects what it is about."""
    shown = [json.loads(line) for line in re.findall(r"^{.*$", README, re.MULTILINE) if "}" in line]
    tasks = [each for each in shown if "owner_id" in each]
    assert len(tasks) == 1, "show one task whole, and of others what the example is about"
    where = "the task that README.md shows as JSON"
    agree(TaskView.__struct_fields__, tasks[0], where, "add it there, in the place that it has")
    assert [*TaskView.__struct_fields__] == [*tasks[0]], "put its fields in the order of TaskView"


def test_the_table_of_fields_has_every_field() -> None:
    table = README.partition("**A task** has a `title`")[2].partition("\n\n**")[0]
    listed = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    where = "the table of a task's fields in README.md"
    agree(TaskChanges.__annotations__, [*listed, "title"], where, "add its row")


def test_the_table_of_calls_has_every_call() -> None:
    rows = re.findall(r"^\| ((?:GET|POST|PUT|PATCH|DELETE)\b.*?) \|", README, re.MULTILINE)
    parts = [
        part for row in rows for part in re.findall(r"([A-Z, ]*[A-Z]) ((?:`/.*?`(?:, )?)+)", row)
    ]
    listed = {
        f"{method} {path}"
        for methods, paths in parts
        for method in re.findall(r"[A-Z]+", methods)
        for path in re.findall(r"`(.*?)`", paths)
    }
    calls = {re.sub(r"{\w+}", "{id}", call.replace(V1, "")) for call, _ in operations()}
    agree(calls, listed, "the table of calls in README.md", "add its row")


def test_every_command_is_named() -> None:
    sentence = README.partition("`taskcli --help` lists the commands: ")[2].partition(". ")[0]
    where = "the list of commands in README.md"
    agree({noun for _, noun, *_ in COMMANDS}, re.findall(r"`(\w+)`", sentence), where, "add it")
