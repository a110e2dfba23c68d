"""Tables in tests that must be kept up with the code, and what to do when they are not."""

from collections.abc import Collection


def agree(found: Collection[str], table: Collection[str], where: str, advice: str) -> None:
    """Fail with a line for each name that `table`, which stands at `where`, misses or outlives."""
    missing = [f"{name} is not in {where}: {advice}" for name in sorted(set(found) - set(table))]
    gone = [
        f"{name} is in {where}, but the code has none: remove it there, or finish it (a handler is"
        " served once its Router lists it)"
        for name in sorted(set(table) - set(found))
    ]
    assert not missing + gone, "\n".join(missing + gone)
