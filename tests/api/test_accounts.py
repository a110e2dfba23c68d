"""Registration, login, tokens, and the user's own account."""

import pytest

from taskcore import Core
from tests.api.people import Person, broken, join, refused
from tests.conftest import ManualClock
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio

USER = {"id", "email", "full_name", "role", "is_active", "time_zone", "created_at", "updated_at"}


async def test_registering_shows_the_account(anonymous: Person) -> None:
    body = {"email": "Ada@Example.ORG", "password": PASSWORD, "full_name": "Ada Lovelace"}
    answer = await anonymous.post("/auth/register", body)
    assert answer.status_code == 201
    user = answer.json()
    assert set(user) == USER
    assert type(user.pop("id")) is int
    assert user == {
        "email": "Ada@example.org",
        "full_name": "Ada Lovelace",
        "role": "user",
        "is_active": True,
        "time_zone": "UTC",
        "created_at": "2030-01-02T03:04:05.678901Z",
        "updated_at": "2030-01-02T03:04:05.678901Z",
    }


async def test_the_name_is_optional(anonymous: Person) -> None:
    for email, name in (("a@example.org", {}), ("b@example.org", {"full_name": None})):
        body = {"email": email, "password": PASSWORD, **name}
        assert (await anonymous.post("/auth/register", body)).json()["full_name"] is None


async def test_the_first_account_is_not_an_administrator(anonymous: Person) -> None:
    answer = await anonymous.post("/auth/register", {"email": "a@x.org", "password": PASSWORD})
    assert answer.json()["role"] == "user"


async def test_an_address_registers_once_however_it_is_spelled(anonymous: Person) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}
    assert (await anonymous.post("/auth/register", body)).status_code == 201
    for email in ("ada@example.org", "ADA@EXAMPLE.ORG"):
        answer = await anonymous.post("/auth/register", body | {"email": email})
        refused(answer, 409, "email_taken")


BROKEN = [
    ("email", "", "too_short"),
    ("email", "ada", "invalid_email"),
    ("email", "ada@localhost", "invalid_email"),
    ("email", "a" * 250 + "@x.org", "too_long"),
    ("email", "x" * 60_000, "too_long"),
    ("email", "ada\x00@example.org", "control_character"),
    ("email", "ada\u200b@example.org", "invalid_email"),
    ("email", 5, "wrong_type"),
    ("email", None, "not_nullable"),
    ("password", "1234567", "too_short"),
    ("password", "x" * 257, "too_long"),
    ("password", "12345\x00678", "control_character"),
    ("password", ["correct horse"], "wrong_type"),
    ("full_name", "x" * 256, "too_long"),
    ("full_name", "a\x07", "control_character"),
    ("full_name", {"first": "Ada"}, "wrong_type"),
    ("time_zone", "Mars/Olympus", "unknown_time_zone"),
    ("time_zone", "europe/berlin", "unknown_time_zone"),
    ("time_zone", "../../etc/passwd", "unknown_time_zone"),
    ("time_zone", "", "unknown_time_zone"),
    ("time_zone", None, "not_nullable"),
    ("updated_at", "2026-01-31T09:30:00Z", "read_only"),
    ("created_at", "2026-01-31T09:30:00Z", "read_only"),
]


async def test_registering_says_which_rule_is_broken(anonymous: Person, root: Person) -> None:
    whole = {"email": "ada@example.org", "password": PASSWORD, "full_name": "Ada"}
    for person, path in ((anonymous, "/auth/register"), (root, "/users")):
        for field, value, code in BROKEN:
            answer = await person.post(path, whole | {field: value})
            assert broken(answer, f"/{field}")["code"] == code
        for field in ("email", "password"):
            body = {name: value for name, value in whole.items() if name != field}
            assert broken(await person.post(path, body), f"/{field}")["code"] == "required"
    assert (await root.get("/users")).json()["total"] == 1


async def test_logging_in_hands_out_tokens(anonymous: Person, ada: Person) -> None:
    answer = await anonymous.post("/auth/login", {"email": ada.email, "password": PASSWORD})
    assert answer.status_code == 200
    tokens = answer.json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert set(tokens["user"]) == USER
    assert tokens["user"]["id"] == ada.id
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 1800
    me = await Person(ada.http, tokens["access_token"]).get("/auth/me")
    assert me.json() == tokens["user"]


async def test_the_spelling_of_the_address_does_not_matter_to_log_in(
    anonymous: Person, ada: Person
) -> None:
    body = {"email": ada.email.upper(), "password": PASSWORD}
    assert (await anonymous.post("/auth/login", body)).status_code == 200


async def test_every_failed_login_gets_the_same_answer(
    core: Core, anonymous: Person, ada: Person, root: Person
) -> None:
    bob = await join(core, ada.http, "bob")
    assert (await root.patch(f"/users/{bob.id}", {"is_active": False})).status_code == 200
    wrong = [
        {"email": "unknown@example.org", "password": PASSWORD},
        {"email": ada.email, "password": "wrong horse"},
        {"email": bob.email, "password": PASSWORD},
        {"email": "no address at all", "password": PASSWORD},
        {"email": "", "password": ""},
        {"email": ada.email, "password": "x" * 10_000},
        {"email": ada.email, "password": f"{PASSWORD}\x00"},
    ]
    answers = [await anonymous.post("/auth/login", body) for body in wrong]
    for answer in answers:
        refused(answer, 401, "invalid_credentials")
        assert answer.headers["www-authenticate"] == 'Bearer realm="taskcore"'
        same = [(n, v) for n, v in answer.headers.items() if n != "x-request-id"]
        assert same == [(n, v) for n, v in answers[0].headers.items() if n != "x-request-id"]
        assert answer.json() | {"request_id": ""} == answers[0].json() | {"request_id": ""}


async def test_refreshing_rotates_both_tokens(anonymous: Person, ada: Person) -> None:
    answer = await anonymous.post("/auth/refresh", {"refresh_token": ada.refresh_token})
    assert answer.status_code == 200
    tokens = answer.json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert tokens["refresh_token"] != ada.refresh_token
    me = await Person(ada.http, tokens["access_token"]).get("/auth/me")
    assert me.json() == tokens["user"]


async def test_a_refresh_token_that_turns_up_again_ends_the_session(
    anonymous: Person, ada: Person, clock: ManualClock
) -> None:
    assert (await anonymous.post("/auth/refresh", {"refresh_token": ada.refresh_token})).is_success
    clock.advance(seconds=11)
    answer = await anonymous.post("/auth/refresh", {"refresh_token": ada.refresh_token})
    refused(answer, 401, "invalid_token")
    refused(await ada.get("/auth/me"), 401, "invalid_token")


async def test_access_and_refresh_tokens_are_not_interchangeable(
    anonymous: Person, ada: Person
) -> None:
    said = "The token is not valid; log in again"
    for token in (ada.token, "", "tcr_", "tcr_\u00e9", "x" * 5000, "a\x00b"):
        answer = await anonymous.post("/auth/refresh", {"refresh_token": token})
        assert refused(answer, 401, "invalid_token")["detail"] == said
    answer = await Person(ada.http, ada.refresh_token).get("/auth/me")
    assert refused(answer, 401, "invalid_token")["detail"] == said


async def test_an_access_token_expires(ada: Person, clock: ManualClock) -> None:
    clock.advance(seconds=1799)
    assert (await ada.get("/auth/me")).status_code == 200
    clock.advance(seconds=10)
    answer = await ada.get("/auth/me")
    assert refused(answer, 401, "token_expired")["detail"] == (
        "The token has expired; get a new one with the refresh token, or log in again"
    )
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="taskcore", error="invalid_token", error_description="The token has expired"'
    )


async def test_a_refresh_token_that_has_expired_needs_a_login(
    ada: Person, clock: ManualClock
) -> None:
    clock.advance(days=7)
    answer = await ada.post("/auth/refresh", {"refresh_token": ada.refresh_token})
    said = "The refresh token has expired; log in again"
    assert refused(answer, 401, "token_expired")["detail"] == said


async def test_users_see_their_own_account(ada: Person) -> None:
    answer = await ada.get("/auth/me")
    assert answer.status_code == 200
    assert set(answer.json()) == USER
    assert answer.json()["email"] == ada.email


async def test_users_change_their_name_and_omitted_fields_stay(
    ada: Person, clock: ManualClock
) -> None:
    before = (await ada.get("/auth/me")).json()
    clock.advance(seconds=1)
    unchanged = await ada.patch("/auth/me", {})
    assert unchanged.status_code == 200
    assert unchanged.json() == before
    renamed = await ada.patch("/auth/me", {"full_name": "Countess"})
    assert renamed.json() == before | {
        "full_name": "Countess",
        "updated_at": "2030-01-02T03:04:06.678901Z",
    }
    assert (await ada.get("/auth/me")).json() == renamed.json()
    moved = await ada.patch("/auth/me", {"time_zone": "Europe/Berlin"})
    assert moved.json() == renamed.json() | {"time_zone": "Europe/Berlin"}
    for wrong, code in (("Mars/Olympus", "unknown_time_zone"), (None, "not_nullable")):
        answer = await ada.patch("/auth/me", {"time_zone": wrong})
        assert broken(answer, "/time_zone")["code"] == code
    assert (await ada.patch("/auth/me", {"full_name": None})).json()["full_name"] is None
    assert (await ada.patch("/auth/me", {"full_name": "null"})).json()["full_name"] == "null"


@pytest.mark.parametrize(("name", "code"), [("x" * 256, "too_long"), (7, "wrong_type")])
async def test_an_invalid_name_is_refused(ada: Person, name: object, code: str) -> None:
    assert broken(await ada.patch("/auth/me", {"full_name": name}), "/full_name")["code"] == code


async def test_deleting_an_account_deletes_its_tasks_and_ends_its_tokens(
    anonymous: Person, ada: Person, bob: Person, root: Person
) -> None:
    task, other = await ada.task(), await bob.task()
    answer = await ada.post("/auth/delete-account", {"password": PASSWORD})
    assert answer.status_code == 204
    refused(await ada.get("/auth/me"), 401, "invalid_token")
    refused(
        await anonymous.post("/auth/refresh", {"refresh_token": ada.refresh_token}),
        401,
        "invalid_token",
    )
    refused(
        await anonymous.post("/auth/login", {"email": ada.email, "password": PASSWORD}),
        401,
        "invalid_credentials",
    )
    refused(await root.get(f"/tasks/{task['id']}"), 404, "not_found")
    refused(await root.get(f"/users/{ada.id}"), 404, "not_found")
    assert [t["id"] for t in (await root.get("/tasks")).json()["items"]] == [other["id"]]
    again = {"email": ada.email, "password": PASSWORD}
    assert (await anonymous.post("/auth/register", again)).status_code == 201


@pytest.mark.parametrize("password", ["wrong horse", "", "x" * 3000])
async def test_deleting_an_account_needs_the_right_password(ada: Person, password: str) -> None:
    answer = await ada.post("/auth/delete-account", {"password": password})
    refused(answer, 401, "invalid_credentials")
    assert (await ada.get("/auth/me")).status_code == 200


async def test_the_last_administrator_cannot_delete_their_account(core: Core, root: Person) -> None:
    answer = await root.post("/auth/delete-account", {"password": PASSWORD})
    refused(answer, 409, "last_admin")
    another = await join(core, root.http, "another")
    assert (await root.patch(f"/users/{another.id}", {"role": "admin"})).status_code == 200
    assert (await root.post("/auth/delete-account", {"password": PASSWORD})).status_code == 204
