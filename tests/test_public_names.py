"""What docs/library.md calls public stays: a name goes only after a release that warned."""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import taskcore.domain
from tests.test_architecture import ROOT

KEPT = Path(__file__).with_name("public_names.txt")


def public_modules() -> list[str]:
    """Those in the table of docs/library.md; of the domain, each module."""
    page = (ROOT / "docs/library.md").read_text()
    table = page.partition("| public | |\n")[2].partition("\n\n")[0]
    firsts = [row.split("|")[1] for row in table.splitlines()]
    named = [name for cell in firsts for name in re.findall(r"`([\w.]+)`", cell)]
    inner = [
        f"taskcore.domain.{each.name}" for each in pkgutil.iter_modules(taskcore.domain.__path__)
    ]
    return sorted({*named, *inner} - {"taskcore.domain"})


def names_of(module: str) -> set[str]:
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        return set(found.__all__)
    if hasattr(found, "__path__"):  # it collects what its modules define
        return {n for n, o in vars(found).items() if n[0] != "_" and not inspect.ismodule(o)}
    names = set()
    for node in ast.parse(inspect.getsource(found)).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def found() -> set[str]:
    return {f"{module}.{name}" for module in public_modules() for name in names_of(module)}


def test_no_public_name_goes_without_a_warning_and_each_is_listed() -> None:
    kept = set(KEPT.read_text().split())
    gone, new = sorted(kept - found()), sorted(found() - kept)
    advice = "`python -m tests.test_public_names` lists them anew"
    assert not gone, f"{gone}: a release warns before (docs/library.md); if none had them, {advice}"
    assert not new, f"{new} are public now: {advice}"


if __name__ == "__main__":
    sys.stdout.write(f"{len(found())} public names\n")
    KEPT.write_text("\n".join(sorted(found())) + "\n")
