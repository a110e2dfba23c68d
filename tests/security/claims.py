"""The table of claims in docs/security.md, read off the tests that prove them.

    python -m tests.security.claims

A test proves a claim when its docstring begins with the claim's id: `RT-2: each use rotates.`
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/security.md"
_CLAIM = re.compile(r"([A-Z0-9]+-\d+(?:, [A-Z0-9]+-\d+)*): (.+)", re.DOTALL)
_TABLE = re.compile(r"(?<=<!-- claims -->\n).*(?=<!-- end of claims -->)", re.DOTALL)
# How many rows each section has. Whatever is not proved is to be in the table of what is left out.
ROWS = {
    "ENUM": 8,
    "MAIL": 7,
    "PW": 11,
    "A2": 7,
    "RH": 5,
    "JWT": 12,
    "BR": 6,
    "RT": 16,
    "AZ": 16,
    "RL": 12,
    "IN": 11,
    "CO": 2,
    "CS": 1,
    "HD": 5,
    "LG": 8,
    "AU": 4,
    "SC": 8,
    "CL": 1,
    "FS": 2,
}


@dataclass(frozen=True)
class Proof:
    claim: str
    sentence: str
    file: str
    test: str


def proofs() -> Iterator[Proof]:
    contracts = ROOT / "src/taskcore/testing/contracts"  # subclasses in tests/contracts run them
    for path in sorted([*(ROOT / "tests").rglob("test_*.py"), *contracts.glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if match := _CLAIM.fullmatch(ast.get_docstring(node) or ""):
                sentence = " ".join(match[2].split())
                for claim in match[1].split(", "):
                    yield Proof(claim, sentence, str(path.relative_to(ROOT)), node.name)


def table() -> str:
    order = {section: number for number, section in enumerate(ROWS)}

    def place(proof: Proof) -> tuple[int, int, str, str]:
        section, _, number = proof.claim.partition("-")
        return order[section], int(number), proof.file, proof.test

    lines = ["| claim | what a test shows |", "|---|---|"]
    for proof in sorted(proofs(), key=place):
        name = proof.test.removeprefix("test_").replace("_", " ")
        sentence = proof.sentence.replace("|", "\\|")
        lines.append(f"| {proof.claim} | [{name}](../{proof.file}): {sentence} |")
    return "\n".join(lines) + "\n"


def written() -> str:
    """The table in the document."""
    found = _TABLE.search(DOCUMENT.read_text(encoding="utf-8"))
    return found[0] if found else ""


def left_out() -> set[str]:
    """The ids in the first column of the other tables."""
    rest = _TABLE.sub("", DOCUMENT.read_text(encoding="utf-8"))
    cells = re.findall(r"^\| ([A-Z0-9, -]+?) \|", rest, re.MULTILINE)
    return {claim for cell in cells for claim in cell.split(", ") if "-" in claim}


def every_row() -> set[str]:
    return {f"{section}-{n}" for section, count in ROWS.items() for n in range(1, count + 1)}


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
