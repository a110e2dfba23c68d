"""Tables at several widths of the terminal."""

from importlib import import_module

import pytest

from taskcli import command_list, list_pages
from taskcli.tables import fitted, wrapped
from taskcli.tasks import lists

MODULES = {
    f"taskcli.{where.partition(':')[0]}"
    for _, _, verbs, _, path in command_list.COMMANDS
    for where in (*verbs.values(), path.removeprefix("taskcli."))
    if where
}
LISTS: dict[str, tuple[str, ...]] = {
    name.removeprefix("taskcli."): module._COLUMNS
    for name, module in ((name, import_module(name)) for name in sorted(MODULES))
    if hasattr(module, "_COLUMNS")
}
LISTS["tasks.lists"] += ("owner_id",)
LISTS["tasks.history"] = LISTS["tasks.history"][:-1]  # what stands beneath its rows
# The longest value of a column: an id, unless it is one of these.
ID = "9223372036854775807"
LONGEST = {
    **dict.fromkeys(("at", "created_at", "deleted_at", "last_used_at"), "2030-01-02 01:04:05Z"),
    "due": "2030-01-02 01:04+01:00 !",
    "email": "a" * 242 + "@example.org",
    "ip": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "event": "account.password_changed",
}
PROSE = {"title": "Letter " * 36, "labels": "home, " * 20, "full_name": "語" * 100,
         "user_agent": "Mozilla/5.0 " * 40, "by": "o" * 200,
         "detail": "old=user, new=admin"}  # fmt: skip


def row(kind: str) -> list[str]:
    known = LONGEST | PROSE | {"id": "0" * 36 if kind == "sessions" else ID}
    return [known.get(name, ID) for name in LISTS[kind]]


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_value_is_shown_whole_or_with_an_ellipsis_or_its_column_is_named(
    kind: str, width: int
) -> None:
    columns = LISTS[kind]
    table, left_out = fitted(columns, [row(kind)], width)
    heading, rule, line = table.splitlines()
    shown = [name for name in columns if name not in left_out]
    assert heading.split() == shown
    assert len(rule) <= width
    for name, value in zip(columns, row(kind), strict=True):
        if name not in shown:
            continue
        if name in PROSE:
            assert value.split()[0][:4] in line
            assert value in line or "…" in line
        else:
            assert value in line or value.replace(":05Z", "Z") in line
    if "email" not in shown:
        assert len(line) <= width


def test_what_is_usual_fits_eighty_columns() -> None:
    session = ["0" * 36, "1234567", "2030-01-02 01:04:05Z", "203.0.113.77", "Mozilla/5.0 " * 9]
    table, left_out = fitted(LISTS["sessions"], [session], 80)
    assert left_out == ["user_agent"]
    assert table.splitlines()[-1] == f"{'0' * 36}  1234567  2030-01-02 01:04Z  203.0.113.77"
    event = ["2030-01-02 01:04:05Z", "login.succeeded", "12", "12", "203.0.113.77", "x" * 90]
    table, left_out = fitted(LISTS["audit"], [event], 80)
    assert (left_out, table.splitlines()[-1].endswith("xxx…")) == ([], True)


TASK = {"id": "1234", "status": "todo", "due": "2030-01-02 01:04+01:00 !"}


@pytest.mark.parametrize(
    ("title", "labels", "left_out"),
    [
        (22, 4, []),
        (18, 40, []),  # the labels are cut
        (30, 40, ["labels"]),
        (40, 4, ["priority", "labels"]),
        (99, 4, ["priority", "labels"]),  # more than half of the terminal: only then it is cut
    ],
)
def test_other_columns_give_way_to_the_title(title: int, labels: int, left_out: list[str]) -> None:
    values = TASK | {"priority": "high", "title": "t" * title, "labels": "l" * labels}
    columns = [name for name in lists._COLUMNS if name in values]
    table, gone = fitted(columns, [[values[name] for name in columns]], 80)
    assert gone == left_out
    line = table.splitlines()[-1]
    assert ("t" * min(title, 39)) in line
    assert all(value in line for value in TASK.values())


def test_a_column_that_is_new_gives_way_first() -> None:
    values = TASK | {"estimate": "5" * 9, "title": "t" * 30, "labels": "l" * 8}
    assert fitted(list(values), [list(values.values())], 80)[1] == ["estimate"]


def test_times_lose_their_seconds_before_a_title_is_cut() -> None:
    moment = "2030-01-02 01:04:05+05:30"
    table, _ = fitted(["deleted_at", "title"], [[moment, "Letter " * 36]], 50)
    assert table.splitlines()[-1] == f"2030-01-02 01:04+05:30  {('Letter ' * 5)[:25]}…"
    table, _ = fitted(["deleted_at", "title"], [[moment, "Letter"]], 50)
    assert moment in table


def test_the_columns_left_out_are_named_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    record = dict(zip(LISTS["users"], row("users"), strict=True))
    list_pages._print_table(LISTS["users"], [row("users")])
    out, err = capsys.readouterr()
    assert record["email"] in out
    left_out = "full_name, role, is_active, created_at"
    assert err == f"taskcli: too narrow for {left_out}; --json shows all\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two", ["one two"]),
        ("one two three", ["one two", "three"]),
        ("one 0123456789abc two", ["one", "01234567", "89abc", "two"]),
        ("語語語語語 six", ["語語語語", "語 six"]),
    ],
)
def test_a_text_is_wrapped_by_the_cells_of_a_terminal(text: str, lines: list[str]) -> None:
    assert wrapped(text, 8) == lines
