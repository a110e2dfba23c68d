"""The contract of `ports.PasswordHasher`."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskcore.ports import PasswordHasher
from taskcore.testing.contracts.contract import SHARED, Contract

PASSWORD = "correct horse"
SALT_AND_HASH = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"  # of bcrypt, well formed
passwords = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


class HasherContract(Contract):
    """On the fixture `hasher`: one of little cost, or the suite takes minutes."""

    @settings(SHARED, max_examples=min(40, SHARED.max_examples))
    @given(passwords, passwords)
    async def test_a_password_and_no_other_fits_its_hash(
        self, hasher: PasswordHasher, password: str, other: str
    ) -> None:
        made = await hasher.hash(password)
        assert await hasher.verify(password, made)
        assert await hasher.verify(other, made) is (other == password)

    async def test_a_new_hash_needs_no_rehash(self, hasher: PasswordHasher) -> None:
        assert not hasher.needs_rehash(await hasher.hash(PASSWORD))

    async def test_a_long_password_is_compared_whole(self, hasher: PasswordHasher) -> None:
        made = await hasher.hash("a" * 255 + "b")
        assert not await hasher.verify("a" * 255 + "c", made)
        assert not await hasher.verify("a" * 255, made)

    async def test_the_same_password_has_another_hash_each_time(
        self, hasher: PasswordHasher
    ) -> None:
        assert await hasher.hash(PASSWORD) != await hasher.hash(PASSWORD)

    async def test_a_hash_fits_its_column_and_is_text_of_ascii(
        self, hasher: PasswordHasher
    ) -> None:
        made = await hasher.hash("\U0001f600" * 256)
        assert made.isascii()
        assert 1 <= len(made) <= 255
        assert "\U0001f600" not in made

    async def test_no_password_fits_no_hash(self, hasher: PasswordHasher) -> None:
        for password in (PASSWORD, "", "decoy", "\x00"):
            assert not await hasher.verify(password, None)

    @pytest.mark.parametrize(
        "unreadable",
        [
            "",
            "x",
            "$",
            ".",
            "..",
            "a.b.c",
            ".....",
            "scrypt.",
            "scrypt.zz.zz",
            "scrypt.00.00",
            "scrypt.3.1.1." + "00" * 16 + "." + "00" * 64,
            "scrypt.1.1.1." + "00" * 16 + "." + "00" * 64,
            "scrypt.99999999.999.99." + "00" * 16 + "." + "00" * 64,
            "scrypt.\u0663.1.1." + "00" * 16 + "." + "00" * 64,
            "decoy.00.00",
            "$argon2id$",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ",
            "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$",
            "$argon2id$v=19$m=8,t=1,p=1$!!!!$!!!!",
            "$argon2id$v=19$m=8,t=1,p=1$\u00e9\u00e9$\u00e9\u00e9",
            "$argon2id$v=19$m=8,t=1,p=1$\x00$\x00",
            "$argon2id$v=19$m=\u0668,t=\u0661,p=\u0661$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=0,t=0,p=0$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2id$v=19$m=8,t=4294967295,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
            "$2b$12$short",
            "$2b$16$" + SALT_AND_HASH,
            "$2b$31$" + SALT_AND_HASH,
            "$2b$00$" + SALT_AND_HASH,
            "$2b$04$" + "\x00" * 53,
            "$2b$04$" + "a" * 53,
            "$2x$04$" + SALT_AND_HASH,
            "$1$legacy$md5",
            "plain text: " + PASSWORD,
            PASSWORD,
            "\U0001f600" * 60,
            "\ud800",
        ],
    )
    async def test_an_unreadable_hash_counts_as_a_wrong_password(
        self, hasher: PasswordHasher, unreadable: str
    ) -> None:
        started = time.monotonic()
        assert await hasher.verify(PASSWORD, unreadable) is False
        assert hasher.needs_rehash(unreadable)
        assert time.monotonic() - started < 2
