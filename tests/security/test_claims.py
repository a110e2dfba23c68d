"""The table of docs/security.md is what the tests prove."""

from tests.security.claims import every_row, left_out, proofs, table, written


def test_the_table_is_what_the_tests_say() -> None:
    """`make claims` writes it anew."""
    assert written() == table(), "docs/security.md is out of date: run `make claims`"


def test_every_row_is_proved_or_left_out_for_a_reason() -> None:
    proved = {proof.claim for proof in proofs()}
    assert proved <= every_row()
    assert left_out() <= every_row()
    assert every_row() - proved == left_out() - proved
    assert not every_row() - proved - left_out()


def test_no_test_is_named_twice() -> None:
    """A link leads to one test."""
    found = [(proof.claim, proof.test) for proof in proofs()]
    assert len(set(found)) == len(found)
