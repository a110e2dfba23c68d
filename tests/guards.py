"""Tables in tests that must be kept up with the code, and what to do when they are not."""

from collections.abc import Collection

_FINISH = (
    "but the code has none: remove it there, or finish it (a handler is served once its Router"
    " lists it)"
)


def agree(
    found: Collection[str],
    table: Collection[str],
    where: str,
    advice: str,
    *,
    outlived: str = _FINISH,
) -> None:
    """Fail with a line for each name that `table`, which stands at `where`, misses or outlives.

    `outlived` goes on after the name and the place. A test passes it where the table is derived
    from the code: what is wrong then stands elsewhere.
    """
    missing = [f"{name} is not in {where}: {advice}" for name in sorted(set(found) - set(table))]
    gone = [f"{name} is in {where}, {outlived}" for name in sorted(set(table) - set(found))]
    assert not missing + gone, "\n".join(missing + gone)
