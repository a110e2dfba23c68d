"""The contract of `ports.RefreshTokens`, and the keys that everything is signed with."""

import hashlib
import re

import pytest

from taskcore.adapters.keys import derived_key
from taskcore.adapters.tokens import OpaqueRefreshTokens
from taskcore.ports import RefreshTokens
from taskcore.testing.contracts import RefreshTokenContract

TOKENS = OpaqueRefreshTokens((bytes(64),))
SHAPE = re.compile(r"tcr_[A-Za-z0-9_-]{43}")


class TestRefreshTokens(RefreshTokenContract):
    @pytest.fixture
    def tokens(self) -> RefreshTokens:
        return TOKENS

    @pytest.fixture
    def others(self) -> RefreshTokens:
        return OpaqueRefreshTokens((b"k" * 64,))


def test_a_token_is_opaque_and_recognisable() -> None:
    assert SHAPE.fullmatch(TOKENS.new())
    assert SHAPE.fullmatch(TOKENS.successors(TOKENS.new(), TOKENS.nonce())[0])


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


def test_keys_of_different_purposes_are_different() -> None:
    secret = b"s" * 32
    purposes = ("access token", "refresh token", "")
    keys = {derived_key(secret, purpose) for purpose in purposes} | {derived_key(b"t" * 32, "")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {64}
    assert not any(secret in key for key in keys)
    assert derived_key(secret, "access token") == derived_key(secret, "access token")
