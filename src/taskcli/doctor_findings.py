"""What `taskcli doctor` has found, and how it is shown."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from taskcli.exits import CONFIGURATION, FAILURE
from taskcore import Misconfigured, Unavailable


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    ok: bool
    detail: str
    advice: str | None = None
    """What to do if it is not ok, or a warning."""
    code: int = FAILURE
    warning: bool = False
    """It works, and will not if it goes on like this."""

    @property
    def is_told(self) -> bool:
        """Whether the advice is for this finding."""
        return self.warning or not self.ok


def answered(name: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, and why there are no more of them if the database did not answer meanwhile."""
    try:
        yield from findings
    except Unavailable as error:
        yield Finding(name, ok=False, detail=error.detail, advice="ask again")
    except Misconfigured as error:
        for problem in error.problems:
            yield Finding(name, ok=False, detail=problem, code=CONFIGURATION)


def as_record(finding: Finding) -> dict[str, object]:
    record = asdict(finding)
    del record["code"]
    record["advice"] = finding.advice if finding.is_told else None
    return record


def rows(finding: Finding) -> Iterator[tuple[str, ...]]:
    said = "PROBLEM" if not finding.ok else "WARNING" if finding.warning else "ok"
    yield said, finding.name, finding.detail
    if finding.advice and finding.is_told:
        yield "", "", finding.advice
