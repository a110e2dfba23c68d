"""The contract of `ports.RefreshTokens`, and the keys that everything is signed with."""

import hashlib
import re

from taskcore.adapters.keys import derived_key
from taskcore.adapters.tokens import OpaqueRefreshTokens

TOKENS = OpaqueRefreshTokens((bytes(64),))
SHAPE = re.compile(r"tcr_[A-Za-z0-9_-]{43}")


def test_a_token_is_opaque_and_recognisable() -> None:
    assert SHAPE.fullmatch(TOKENS.new())
    assert SHAPE.fullmatch(TOKENS.successors(TOKENS.new(), TOKENS.nonce())[0])


def test_no_two_are_the_same() -> None:
    assert len({TOKENS.new() for _ in range(10_000)}) == 10_000
    assert len({TOKENS.nonce() for _ in range(10_000)}) == 10_000


def test_a_successor_takes_the_token_and_the_nonce_and_the_key() -> None:
    token, nonce = TOKENS.new(), TOKENS.nonce()
    successor = TOKENS.successors(token, nonce)[0]
    assert TOKENS.successors(token, nonce)[0] == successor
    others = {
        TOKENS.successors(TOKENS.new(), nonce)[0],
        TOKENS.successors(token, TOKENS.nonce())[0],
        OpaqueRefreshTokens((b"k" * 64,)).successors(token, nonce)[0],
        TOKENS.successors(successor, nonce)[0],
    }
    assert len(others) == 4
    assert successor not in others


def test_there_is_a_successor_for_each_key_and_the_present_one_comes_first() -> None:
    keys = (b"new" * 20, b"old" * 20)
    both = OpaqueRefreshTokens(keys).successors("tcr_x", b"nonce")
    each = [OpaqueRefreshTokens((key,)).successors("tcr_x", b"nonce")[0] for key in keys]
    assert list(both) == each
    assert len(set(each)) == 2


def test_only_the_digest_would_be_found_in_a_database() -> None:
    token = TOKENS.new()
    assert TOKENS.digest(token) == hashlib.sha256(token.encode()).digest()
    assert TOKENS.digest(token) != TOKENS.digest(token + " ")


def test_what_was_never_issued_has_a_digest_too() -> None:
    for text in ("", "\ud800", "\x00", "x" * 10**6, "\U0001f600"):
        assert len(TOKENS.digest(text)) == 32


def test_keys_of_different_purposes_are_different() -> None:
    secret = b"s" * 32
    purposes = ("access token", "refresh token", "")
    keys = {derived_key(secret, purpose) for purpose in purposes} | {derived_key(b"t" * 32, "")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {64}
    assert not any(secret in key for key in keys)
    assert derived_key(secret, "access token") == derived_key(secret, "access token")
