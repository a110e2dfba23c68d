"""Keys of access tokens; tests/contracts/test_access_tokens.py proves the other rows JWT."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from taskcore.adapters.jwt import key_id
from taskcore.adapters.keys import derived_key
from tests.security.site import NOWHERE, Account, Site, refused, site
from tests.server.running import KEY, Api

SIGNS = derived_key(KEY.encode(), "access token")
NEXT_KEY = "zyxwvutsrq-9876543210-PONMLKJIHG-fedcba"


def header_of(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("SECRET_KEY", "your-super-secret-key-change-in-production"),
        ("SECRET_KEY", "your-secret-key-min-32-chars"),
        ("SECRET_KEY", "kJ8sX2vQ9wLzR4tYb7NcMd1FhGp3Ae5"),  # 31
        ("SECRET_KEY", "abcdefg" * 9),
        ("SECRET_KEY", ""),
        ("SECRET_KEYS_OLD", "change-me-4Tq9Xw2Lz8Rv6Yb1Nc3Md5Fh7"),
    ],
)
def test_no_server_starts_with_a_key_that_can_be_guessed(
    tmp_path: Path, variable: str, key: str
) -> None:
    """JWT-5: documented, short, regular and empty keys; the log names the variable alone."""
    settings = {"DATABASE_URL": NOWHERE, "SECRET_KEY": KEY, variable: key}
    said = refused(tmp_path, "serve", **settings)
    assert f"{variable} " in said
    assert not key or key not in said


@pytest.fixture(scope="module")
def steps(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for each of the four steps of changing the key, and one of another algorithm."""
    folder = tmp_path_factory.mktemp("steps")
    later = (
        {"SECRET_KEY": KEY, "SECRET_KEYS_OLD": NEXT_KEY},
        {"SECRET_KEY": NEXT_KEY, "SECRET_KEYS_OLD": json.dumps([KEY])},
        {"SECRET_KEY": NEXT_KEY},
        {"SECRET_KEY": KEY, "ALGORITHM": "HS512"},
    )
    with site(folder, database_url, processes=1) as first, ExitStack() as stack:
        url = first.apis[0].env["DATABASE_URL"]
        started = [
            stack.enter_context(Api(folder / f"later-{number}", DATABASE_URL=url, **keys))
            for number, keys in enumerate(later)
        ]
        yield Site((*first.apis, *(api.ready() for api in started)), first.conninfo)


def test_the_key_changes_while_people_are_logged_in(steps: Site) -> None:
    """JWT-6: the first key signs, each verifies; the tokens of one that is taken away end."""
    old, new = (key_id(derived_key(key.encode(), "access token")) for key in (KEY, NEXT_KEY))
    eve = steps.join()
    for step, kid in enumerate((old, old, new, new)):
        token = steps.log_in(eve.email, process=step).json["access_token"]
        assert header_of(token)["kid"] == kid
        takers = [200, 200, 200, 401] if kid == old else [401, 200, 200, 200]
        assert [steps.me(token, process=other) for other in range(4)] == takers


def test_a_refresh_survives_the_change_of_the_key(steps: Site) -> None:
    """JWT-6: sent again to the next step, or the one before, it brings the same successor."""
    eve = steps.join()
    for one, other in ((0, 1), (1, 2), (2, 1), (2, 3), (3, 2)):
        token = steps.log_in(eve.email, process=one).json["refresh_token"]
        first, again = (steps.refresh(token, process=step) for step in (one, other))
        assert (first.status, again.status) == (200, 200)
        assert first.json["refresh_token"] == again.json["refresh_token"]
        assert steps.me(again.json["access_token"], process=other) == 200
        # And the session outlives the key that it was opened under.
        assert steps.refresh(again.json["refresh_token"], process=3).status == 200


def test_servers_of_two_algorithms_take_no_token_of_each_other(steps: Site) -> None:
    """JWT-1: also with the same key."""
    eve = steps.join()
    for own, other, algorithm in ((0, 4, "HS256"), (4, 0, "HS512")):
        token = steps.log_in(eve.email, process=own).json["access_token"]
        assert header_of(token)["alg"] == algorithm
        assert [steps.me(token, process=step) for step in (own, other)] == [200, 401]


def test_a_key_for_one_purpose_is_no_key_for_another(site: Site, ada: Account) -> None:
    """JWT-12: neither the secret itself nor a key derived for something else signs a token."""
    purposes = ("refresh token", "rate limit", "pseudonym", "")
    others = [KEY.encode(), *(derived_key(KEY.encode(), purpose) for purpose in purposes)]
    assert SIGNS not in others
    assert len(set(others)) == len(others)
    claims, header = claims_of(ada.access), header_of(ada.access)
    for key in (SIGNS, *others):
        for kid in (header["kid"], key_id(key)):
            token = jwt.encode(claims, key, "HS256", headers=header | {"kid": kid})
            assert site.me(token) == (200 if key == SIGNS else 401)
