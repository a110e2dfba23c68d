"""The contract of `ports.AccessTokens`."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskcore.domain.errors import ExpiredToken, InvalidToken
from taskcore.domain.ids import MAX_ID
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims, AccessTokens
from taskcore.testing.contracts.contract import SHARED, Contract
from taskcore.testing.contracts.stored import NOW

CLAIMS = AccessClaims(UserId(7), SessionId(UUID("01234567-89ab-cdef-0123-456789abcdef")))
LEEWAY = timedelta(seconds=5)
"""How much longer than it says a token may be valid, for clocks that differ."""


def refused(tokens: AccessTokens, token: str) -> bool:
    try:
        tokens.read(token, NOW)
    except ExpiredToken:
        return False
    except InvalidToken:
        return True
    return False


class AccessTokenContract(Contract):
    """On the fixtures `tokens`, and `others`, which have another key."""

    @pytest.mark.parametrize("user_id", [1, 7, MAX_ID])
    def test_an_issued_token_is_read_back(self, tokens: AccessTokens, user_id: int) -> None:
        claims = AccessClaims(UserId(user_id), CLAIMS.session_id)
        assert tokens.read(tokens.issue(claims, NOW), NOW) == claims

    def test_a_token_lives_as_long_as_it_says_and_a_few_seconds_at_most(
        self, tokens: AccessTokens
    ) -> None:
        """JWT-4: it expires after its lifetime, and five seconds for clocks that differ."""
        token = tokens.issue(CLAIMS, NOW)
        end = NOW + timedelta(seconds=tokens.lifetime)
        assert tokens.read(token, end - timedelta(seconds=1)) == CLAIMS
        with pytest.raises(ExpiredToken):
            tokens.read(token, end + LEEWAY)
        with pytest.raises(ExpiredToken):
            tokens.read(token, end + timedelta(days=9999))

    def test_a_token_says_when_it_expires(self, tokens: AccessTokens) -> None:
        expires = tokens.read(tokens.issue(CLAIMS, NOW), NOW).expires
        end = NOW.timestamp() + tokens.lifetime
        assert end - 1 <= expires <= end + LEEWAY.total_seconds()

    def test_a_token_of_another_key_is_not_valid(
        self, tokens: AccessTokens, others: AccessTokens
    ) -> None:
        assert refused(tokens, others.issue(CLAIMS, NOW))

    def test_no_bit_of_a_token_can_be_changed(self, tokens: AccessTokens) -> None:
        """JWT-11: seven bits of each character, in the header, the payload and the signature."""
        token = tokens.issue(CLAIMS, NOW)
        for place, character in enumerate(token):
            for bit in range(7):
                changed = token[:place] + chr(ord(character) ^ 1 << bit) + token[place + 1 :]
                assert refused(tokens, changed), changed

    def test_a_token_has_one_spelling(self, tokens: AccessTokens) -> None:
        """JWT-8: no padding, no other alphabet, nothing around it, no unused bits of base64."""
        token = tokens.issue(CLAIMS, NOW)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for last in set(alphabet) - {token[-1]}:
            assert refused(tokens, token[:-1] + last), last
        for around in ("=", "==", " ", "\n", "\t", "\x00", ".", "A", "\u200b", "%3D"):
            assert refused(tokens, token + around), around
            assert refused(tokens, around + token), around
        for swapped in (token.swapcase(), token.upper(), token.lower(), token[::-1], token * 2):
            assert swapped == token or refused(tokens, swapped)

    def test_no_part_of_a_token_is_a_token(self, tokens: AccessTokens) -> None:
        """JWT-11: neither a beginning nor an end of one is valid."""
        token = tokens.issue(CLAIMS, NOW)
        for end in range(len(token)):
            assert refused(tokens, token[:end])
            assert refused(tokens, token[end + 1 :])

    @settings(SHARED)
    @given(
        st.text(max_size=60) | st.from_regex(r"[\w-]{0,9}\.[\w-]{0,9}\.[\w-]{0,9}", fullmatch=True)
    )
    def test_nothing_else_is_a_token(self, tokens: AccessTokens, text: str) -> None:
        assert refused(tokens, text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            "...",
            "\ud800",
            "a.b.\udfff",
            "\ud800.b.c",
            "\u0661.\u0661.\u0661",
            "a" * 10**6,
            "a." * 10**5,
            "." * 10**5,
            "\U0001f600.\U0001f600.\U0001f600",
            "7.not-a-uuid.x." + "0" * 64,
        ],
    )
    def test_rubbish_is_refused_without_an_error(self, tokens: AccessTokens, text: str) -> None:
        assert refused(tokens, text)
