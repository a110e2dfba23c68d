"""The page of the benchmark: what it shows is the run that is kept, and what fell comes first."""

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.fallen import fallen
from benchmarks.figures import figures
from benchmarks.page import FIGURES, PAGE, README, filled, long_tables
from benchmarks.results import Results, last_kept
from benchmarks.rows import OF_SMALL, Growth, Row
from benchmarks.targets import targets

AGAIN = "write it again: `make bench-page`"


def results(*rows: Row) -> Results:
    run = Results(at="2026-01-31T09:30:00+00:00", commit="abc", cores=2, python="3.11", system="")
    run.comparison = list(rows)
    return run


def rounds(contestant: str, *rates: float, workload: str = "get", clients: int = 32) -> list[Row]:
    return [
        Row(workload, clients, contestant, number, rate, p50_ms=1000 / rate)
        for number, rate in enumerate(rates)
    ]


@pytest.fixture(scope="module")
def kept() -> tuple[Results, Path]:
    file = last_kept()
    if file is None:
        pytest.skip("no git here, or no run is kept")
    return Results.read(file), file


@pytest.mark.parametrize("page", [PAGE, README], ids=lambda page: page.name)
def test_a_page_shows_the_run_that_is_kept(page: Path, kept: tuple[Results, Path]) -> None:
    assert page.read_text() == filled(page.read_text(), kept[0]), AGAIN


def test_the_figures_and_the_long_tables_are_of_the_run_that_is_kept(
    kept: tuple[Results, Path],
) -> None:
    run, file = kept
    for name, content in figures(run):
        assert (FIGURES / name).read_text() == content, AGAIN
    assert file.with_suffix(".md").read_text() == long_tables(run), AGAIN


def test_a_run_that_is_kept_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = results(*rounds("ours", 100.0, 110.0))
    run.growth = [Growth(10_000, "get", 0, 1.5, 0)]
    run.write(tmp_path / "run.json")
    assert Results.read(tmp_path / "run.json") == run


def test_what_fell_is_told_as_ratios_to_the_same_round() -> None:
    then = results(*rounds("ours", 80, 90, 100), *rounds("floor", 100, 100, 100))
    slower_machine = results(*rounds("ours", 40, 45, 50), *rounds("floor", 50, 50, 50))
    assert "Nothing fell" in next(fallen(slower_machine, then))

    fell = list(fallen(results(*rounds("ours", 70, 60, 65), *rounds("floor", 100, 100, 100)), then))
    assert fell[0].startswith("1 of 1 cells fell")
    assert fell[-1] == ("| get | 32 | floor | 0.90 (0.80 to 1.00) | 0.65 (0.60 to 0.70) | apart |")


def test_a_cell_that_the_floor_has_not_is_compared_with_another_contestant() -> None:
    then = results(
        *rounds("ours", 100, workload="filter"), *rounds("Fastify", 100, workload="filter")
    )
    now = results(
        *rounds("ours", 50, workload="filter"), *rounds("Fastify", 100, workload="filter")
    )
    assert "| filter | 32 | Fastify |" in list(fallen(now, then))[-1]


def test_without_a_kept_run_nothing_has_fallen() -> None:
    assert "No run is kept" in next(fallen(results(), None))


def test_the_page_says_where_another_is_faster() -> None:
    run = results(
        *rounds("ours", 100, clients=1),
        *rounds("Go", 250, clients=1),
        *rounds("floor", 80, clients=1),
    )
    page = filled("<!-- faster --><!-- end of faster -->", run)
    assert "- Go, one client, times ours: get 2.5" in page
    assert "floor" not in page


def test_a_target_that_does_not_hold_is_bold() -> None:
    run = results(*rounds("ours", 84), *rounds("floor", 100), *rounds("Go", 160))
    lines = list(targets(run))
    assert any("the floor's, at least 0.85 times: get **0.84**" in line for line in lines)
    assert any("Go's, at least 0.5 times: get 0.53" in line for line in lines)


def test_a_page_without_a_place_for_the_run_is_refused() -> None:
    with pytest.raises(SystemExit, match="lost the comments"):
        filled("# Performance", results())


def test_figures_are_drawn_for_light_and_dark_and_name_each_line_apart() -> None:
    rows = [
        row
        for contestant, rate in (("ours", 100), ("Go", 101), ("Fastify", 102), ("floor", 99))
        for clients in (1, 2, 4)
        for workload in ("get", "edit")
        for row in rounds(contestant, rate * clients, workload=workload, clients=clients)
    ]
    run = results(*rows)
    run.growth = [
        Growth(size, workload, 0, 1.5, 0) for size in (10_000, 1_000_000) for workload in OF_SMALL
    ]
    for _, content in figures(run):
        picture = ET.fromstring(content)  # noqa: S314 - what was just written
        assert "prefers-color-scheme: dark" in content
        for panel in picture.iter("{http://www.w3.org/2000/svg}g"):
            names = [
                float(text.attrib["y"])
                for text in panel.iter("{http://www.w3.org/2000/svg}text")
                if "font-weight" in text.attrib.get("style", "")
            ]
            assert len(names) >= 2
            places = sorted(names)
            gaps = [after - before for before, after in pairwise(places)]
            assert min(gaps) >= 13.9


def test_a_contestant_that_is_missing_leaves_its_cells_empty() -> None:
    run = results(*rounds("ours", 100), *rounds("floor", 100))
    page = filled("<!-- table --><!-- end of table -->", run)
    assert "| get | 32 | 100 | 10.00 | 1.00 |  |  |  |" in page
