"""The contract of `ports.RefreshTokens`."""

from taskcore.ports import RefreshTokens
from taskcore.testing.contracts.contract import Contract

BITS = 256


class RefreshTokenContract(Contract):
    """On the fixtures `tokens`, and `others`, which have another key."""

    def test_no_two_are_the_same(self, tokens: RefreshTokens) -> None:
        assert len({tokens.new() for _ in range(10_000)}) == 10_000
        assert len({tokens.nonce() for _ in range(10_000)}) == 10_000

    def test_a_token_is_of_256_bits_that_a_header_can_hold(self, tokens: RefreshTokens) -> None:
        made = [tokens.new(), tokens.successors(tokens.new(), tokens.nonce())[0]]
        for token in made:
            assert token.isascii()
            assert token.isprintable()
            assert " " not in token
            assert len(token) * 6 >= BITS

    def test_a_successor_takes_the_token_and_the_nonce_and_the_key(
        self, tokens: RefreshTokens, others: RefreshTokens
    ) -> None:
        token, nonce = tokens.new(), tokens.nonce()
        successor = tokens.successors(token, nonce)[0]
        assert tokens.successors(token, nonce)[0] == successor
        different = {
            tokens.successors(tokens.new(), nonce)[0],
            tokens.successors(token, tokens.nonce())[0],
            others.successors(token, nonce)[0],
            tokens.successors(successor, nonce)[0],
        }
        assert len(different) == 4
        assert successor not in different

    def test_a_digest_is_of_the_whole_token_and_always_the_same(
        self, tokens: RefreshTokens, others: RefreshTokens
    ) -> None:
        """Whatever the key: a token is found again after the key has changed."""
        token = tokens.new()
        assert tokens.digest(token) == tokens.digest(token) == others.digest(token)
        assert tokens.digest(token) != tokens.digest(token + " ")
        assert token.encode() not in tokens.digest(token)

    def test_what_was_never_issued_has_a_digest_too(self, tokens: RefreshTokens) -> None:
        for text in ("", "\ud800", "\x00", "x" * 10**6, "\U0001f600"):
            assert len(tokens.digest(text)) == BITS // 8
