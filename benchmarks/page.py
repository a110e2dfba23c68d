"""`make bench-page`: writes a run into docs/performance.md, its figures, and the long tables.

Without a file it takes the last run that is kept in the repository, as the tests do, which compare
the page with it.
"""

import argparse
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.figures import figures
from benchmarks.results import Cell, Results, last_kept
from benchmarks.rows import ALONE, WORKLOADS
from benchmarks.targets import targets

ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs/performance.md", ROOT / "README.md"
FIGURES = ROOT / "docs/figures"
_SHOWN = (1, 32)  # clients
_FASTER = 1.02  # times; less is level


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=last_kept(), help="a JSON file")
    file = parser.parse_args().run
    if file is None:
        raise SystemExit("no run is kept; name the file of one")
    write_page(Results.read(file), file)


def write_page(results: Results, file: Path) -> None:
    for page in (PAGE, README):
        page.write_text(filled(page.read_text(), results))
    FIGURES.mkdir(exist_ok=True)
    for name, content in figures(results):
        (FIGURES / name).write_text(content)
    file.with_suffix(".md").write_text(long_tables(results))
    print(f"{PAGE.relative_to(ROOT)} and its figures show {file.name}; to keep both:")
    print(f"  git add --force {file} {file.with_suffix('.md')} && git add docs")


def filled(page: str, results: Results) -> str:
    """The page with this run between each `<!-- name -->` and `<!-- end of name -->` that it has.

    Raises SystemExit for a page without any.
    """
    count = 0
    for name, lines in _parts(results).items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, found, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if found and closed:
            page, count = "\n".join([head + begin, *lines, end + tail]), count + 1
    if not count:
        raise SystemExit("a page has lost the comments between which a run is written")
    return page


def _parts(results: Results) -> Mapping[str, Iterator[str]]:
    return {
        "speed": _speed(results),
        "run": _run(results),
        "table": _table(results),
        "faster": _faster(results),
        "targets": targets(results),
    }


def _speed(results: Results) -> Iterator[str]:
    """For the README."""
    rates = {each: results.median("ours", (each, 32)) for each in _HOT}
    get, listed, create, edit = (f"{rate or 0:.0f}" for rate in rates.values())
    yield (
        f"{results.at[:10]}, one worker, 32 connections of one client, {results.cores} shared"
        f" cores, medians of {_rounds(results)}: {get} requests a second for one"
    )
    yield f"task, {listed} for a list of 20 with its total, {create} creates, {edit} edits."
    yield "As multiples of what others answer beside it, from the worst of these four to the best:"
    yield ""
    yield "| clients | " + " | ".join(_BESIDE.values()) + " |"
    yield "|---|" + "---|" * len(_BESIDE)
    for clients in _SHOWN:
        cells = [_of_hot(results, name, clients) for name in _BESIDE]
        yield f"| {clients} | {' | '.join(cells)} |"


_BESIDE = {
    "floor": "bare ASGI function, without login, rules, log",
    "Fastify": "Fastify",
    "Go": "Go",
    "seed stack": "FastAPI with SQLAlchemy's ORM",
}
_HOT = ("get", "list", "create", "edit")


def _of_hot(results: Results, name: str, clients: int) -> str:
    found = results.ratios("ours", name)
    ratios = [median(found[each, clients]) for each in _HOT if (each, clients) in found]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""


def _rounds(results: Results) -> str:
    count = 1 + max((row.repetition for row in results.comparison), default=0)
    return "one round" if count == 1 else f"{count} rounds"


def _run(results: Results) -> Iterator[str]:
    name = results.file_name
    day = datetime.fromisoformat(results.at)
    taken = f", {results.seconds:.0f} s" if results.seconds else ""
    commit = f"at commit {results.commit}"
    yield f"The run of {day:%Y-%m-%d %H:%M} UTC {commit}: {_machine(results)}{taken};"
    rows = f"[all rows](../benchmarks/results/{name})"
    tables = f"[as tables](../benchmarks/results/{name.replace('.json', '.md')})"
    yield f"medians of {_rounds(results)}; {rows}, and {tables} with spreads, p99 and CPU."


def _machine(results: Results) -> str:
    load = f", a load of {results.load:.1f} before it" if results.load else ""
    return f"{results.cores} cores{load}, Python {results.python}"


def _table(results: Results) -> Iterator[str]:
    yield (
        "| workload | clients | ours, req/s | p50, ms | of the floor | of Fastify | of Go"
        " | times the seed stack |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    beside = {
        name: results.ratios("ours", name)
        for name in ("floor", ALONE, "Fastify", "Go", "seed stack")
    }
    for workload in WORKLOADS:
        for clients in _SHOWN:
            cell = workload, clients
            rate, p50 = (results.median("ours", cell, value) for value in ("per_second", "p50_ms"))
            if rate is None or p50 is None:
                continue
            shown = {name: _ratio(found, cell) for name, found in beside.items()}
            floor = shown["floor"]
            if cell in beside[ALONE]:
                floor = f"{shown[ALONE]} (argon2id)"
            rivals = f"{shown['Fastify']} | {shown['Go']} | {shown['seed stack']}"
            yield f"| {workload} | {clients} | {rate:.0f} | {p50:.2f} | {floor} | {rivals} |"


def _ratio(found: Mapping[Cell, list[float]], cell: Cell) -> str:
    return f"{median(found[cell]):.2f}" if cell in found else ""


def _faster(results: Results) -> Iterator[str]:
    """A line for each contestant that is faster than ours anywhere, with where and how much."""
    for name in ("Fastify", "Go", "floor", "seed stack"):
        ratios = {cell: median(each) for cell, each in results.ratios("ours", name).items()}
        for clients in (*_SHOWN, 128):
            ahead = sorted(
                (1 / ratio, workload)
                for (workload, number), ratio in ratios.items()
                if number == clients and 1 / ratio > _FASTER
            )
            if ahead:
                said = ", ".join(f"{workload} {times:.1f}" for times, workload in reversed(ahead))
                many = "one client" if clients == 1 else f"{clients} clients"
                yield f"- {name}, {many}, times ours: {said}"


def long_tables(results: Results) -> str:
    lines = [
        f"# The run of {results.at}",
        "",
        f"Commit {results.commit}, {_machine(results)}, {results.system}.",
        "Medians of the rounds, and in brackets the least and the greatest. CPU is that of the",
        "server's processes, and of PostgreSQL's, for a request.",
    ]
    for title, part in report.parts(results):
        lines += ["", f"## {title}", "", *part]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
