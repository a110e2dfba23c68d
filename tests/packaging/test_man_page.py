"""The man page: made from the help, and in the wheel."""

import shutil
import zipfile

import pytest

from taskcli import command_list
from tests.packaging.conftest import Distributions, run
from tests.packaging.man_page import FILE, written


def test_it_says_what_the_help_says() -> None:
    assert FILE.read_text() == written(), "run `make man`"


def test_it_names_every_command_and_exit_code() -> None:
    page = FILE.read_text().replace("\\-", "-")
    for _, noun, verbs, *_ in command_list.COMMANDS:
        for verb in verbs if noun != "completion" else ("",):
            assert f"\n.SS taskcli {noun} {verb}".rstrip() in page
    assert all(f"\n.TP\n{code}\n" in page for code, _ in command_list.EXIT_CODES)


def test_the_wheel_puts_it_where_man_finds_it(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/taskcli.1"))
        assert name.endswith(".data/data/share/man/man1/taskcli.1")
        assert wheel.read(name).decode() == FILE.read_text()


def test_groff_finds_no_fault_in_it() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = run("groff", "-man", "-Tutf8", "-ww", FILE)
    assert (done.returncode, done.stderr) == (0, "")
