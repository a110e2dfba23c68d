"""What a password may be, and what is done with it: rows PW of docs/security.md."""

import inspect
import unicodedata
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from cyclopts import App

from taskapi.sessions import Credentials, Refresh, Tokens
from taskapi.users import (
    AccountDeletion,
    PasswordChange,
    PasswordDraft,
    PasswordSetView,
    Registration,
    UserDraft,
    UserView,
)
from taskcli.main import commands
from taskcore import SYSTEM, Actor, Core, Invalid, InvalidCredentials, InvalidToken, Settings
from taskcore.domain import passwords
from taskcore.ports import Store
from tests.cli import programs
from tests.conftest import KEY, ManualClock, bound, cheap_argon2
from tests.factories import PASSWORD as THEIRS
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, at_once, fresh_ip
from tests.server.running import Answer
from tests.usecases.people import address, hash_of, join
from tests.usecases.spies import WatchedHasher

COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"
NEW = PASSWORD + ", too"


def register(site: Site, password: str, *, email: str = "", **more: Any) -> Answer:
    body = {"email": email or f"{uuid4().hex}@example.org", "password": password, **more}
    return site.ask("POST", "/auth/register", body)


def change(site: Site, who: Account, current: str, new: str, **more: Any) -> Answer:
    body = {"current_password": current, "new_password": new}
    return site.ask("POST", "/auth/password", body, token=who.access, **more)


def code(answer: Answer) -> str:
    """The code of the one broken rule."""
    assert answer.status == 422, answer
    (error,) = answer.json["errors"]
    assert error["pointer"] in {"/password", "/new_password"}
    return str(error["code"])


@pytest.mark.parametrize("character", ["q", COMPOSED, DECOMPOSED, "\U0001f600", "\u200d"])
def test_characters_are_counted_as_people_see_them_stored(site: Site, character: str) -> None:
    """PW-1: 8 to 256 code points after NFC, however many bytes they take."""
    assert code(register(site, character * 7)) == "too_short"
    assert code(register(site, character * 257)) == "too_long"
    for times in (8, 256):
        ada = site.join(password=character * times)
        assert site.log_in(ada.email, character * (times - 1)).status == 401


def test_a_long_password_is_compared_to_its_end(site: Site) -> None:
    """PW-2: 64 characters and more, spaces and all; one that differs anywhere is another."""
    right = (PASSWORD + " ") * 7 + "\U0001f600" * 46
    assert len(right) == 256
    ada = site.join(password=right)
    for place in (63, 71, 72, 100, 255):
        wrong = right[:place] + "x" + right[place + 1 :]
        assert wrong != right
        assert site.log_in(ada.email, wrong).status == 401
    assert site.log_in(ada.email, right[:-1]).status == 401
    assert site.log_in(ada.email, right, process=1).status == 200


def test_a_password_as_long_as_a_book_is_refused(site: Site, ada: Account) -> None:
    """PW-3: at a login it is a wrong password, where one is chosen it is too long; 1 MB is 413."""
    for size, expected in ((60_000, (422, 401, 401, 422, 401)), (1_000_000, (413,) * 5)):
        book = "x" * size
        answers = (
            register(site, book),
            site.log_in(ada.email, book),
            change(site, ada, book, NEW),
            change(site, ada, PASSWORD, book),
            site.ask("POST", "/auth/delete-account", {"password": book}, token=ada.access),
        )
        assert tuple(answer.status for answer in answers) == expected
        assert all(b"xxx" not in answer.body for answer in answers)
    assert site.log_in(ada.email).status == 200


@pytest.mark.anyio
async def test_what_cannot_be_a_password_is_not_processed(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MAIL-4, PW-3, PW-11: too long is not normalised; that and half a character are not hashed."""
    hasher = WatchedHasher(cheap_argon2())
    core = bound(store, clock, hasher)
    ada = await join(core, "ada")
    seen: list[int] = []

    def normalize(form: Any, text: str) -> str:
        seen.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(passwords, "unicodedata", SimpleNamespace(normalize=normalize))
    accounts, email = core.accounts, address("ada")
    change_own = partial(accounts.change_password, ada.actor)
    half = f"{PASSWORD}\ud800"
    for wrong in (DECOMPOSED * 500_000, "x" * 257, "\U0001f600" * 1025, half):
        for refusal, refused in (
            (Invalid, accounts.register(email=address("bob"), password=wrong)),
            (Invalid, accounts.create(SYSTEM, email=address("bob"), password=wrong)),
            (Invalid, change_own(current_password=THEIRS, new_password=wrong)),
            (InvalidCredentials, change_own(current_password=wrong, new_password=NEW)),
            (InvalidCredentials, core.sessions.log_in(email=email, password=wrong)),
            (InvalidCredentials, accounts.delete_own(ada.actor, password=wrong)),
        ):
            with pytest.raises(refusal):
                await refused
    # Names and addresses are what a password is compared with, and may be as long.
    book = DECOMPOSED * 16_000
    for mail, name in ((book, "Bob"), (address("bob"), book)):
        with pytest.raises(Invalid):
            await accounts.register(email=mail, password=NEW, full_name=name)
    assert max(seen) <= 1024
    assert hasher.longest <= 256
    assert hasher.hashed == 1


def test_a_password_is_normalised_to_nfc_and_nothing_else(site: Site) -> None:
    """PW-4: NFC where it is set and where it is compared; no NFKC, no trimming, no other case."""
    right = f" {PASSWORD} \ufb01n caf{COMPOSED} "
    ada = site.join(password=right)
    others = {
        "NFKC": right.replace("\ufb01", "fi"),
        "no space before": right.lstrip(),
        "no space after": right.rstrip(),
        "another case": right.replace("caf", "Caf"),
        "no accent": right.replace(COMPOSED, "e"),
    }
    for what, other in others.items():
        assert site.log_in(ada.email, other).status == 401, what
    typed = right.replace(COMPOSED, DECOMPOSED)
    assert typed != right
    assert site.log_in(ada.email, typed, process=1).status == 200
    assert change(site, ada, typed, typed + typed).status == 204
    assert site.log_in(ada.email, right + right).status == 200


def test_no_kind_of_character_is_asked_for(site: Site) -> None:
    """PW-5: letters alone suffice, so do digits or signs; and no password expires."""
    for password in ("qzvkwjxp", "QZVKWJXP", "83920174", "        ", "\u4e00" * 8, "?!" * 4):
        assert register(site, password).status == 201, password
    ada = site.join()
    site.sql(
        "UPDATE users SET created_at = created_at - interval '20 years',"
        " updated_at = updated_at - interval '20 years' WHERE id = %s",
        ada.id,
    )
    assert site.log_in(ada.email).status == 200
    for more in ("password_hint", "security_question", "password_expires_at"):
        assert register(site, PASSWORD, **{more: "x"}).status == 422


def test_common_passwords_are_refused_with_a_reason(site: Site, root: Account) -> None:
    """PW-6: common passwords, in any case, wherever one is chosen; as a whole, not in parts."""
    ada = site.join()
    for common in ("password", "PASSWORD", "12345678", "baseball", "iLoveYou"):
        assert code(register(site, common)) == "password_too_common", common
    body = {"email": f"{uuid4().hex}@example.org", "password": "Password"}
    assert code(site.ask("POST", "/users", body, token=root.access)) == "password_too_common"
    assert code(change(site, ada, PASSWORD, "Password")) == "password_too_common"
    assert site.log_in(ada.email).status == 200
    for fine in ("secure123", "password-x", "my baseball", "\uff50assword"):
        assert register(site, fine).status == 201, fine
    known = passwords._common()
    assert len(known) >= 3000
    # Else nothing that is typed would ever be found there.
    assert all(len(word) >= 8 and word == word.casefold() for word in known)


def test_names_of_the_account_are_refused_with_a_reason(site: Site) -> None:
    """PW-6: address, local part, name and service; as a whole, not in parts."""
    name = f"ada.{uuid4().hex[:9]}"
    email, person = f"{name}@example.org", f"Andr{COMPOSED} Lovelace"
    personal = (
        *(email, email.upper(), name, name.title(), person, person.upper()),
        *(f"Andr{DECOMPOSED} Lovelace", f"andr{COMPOSED}lovelace"),
        *("taskcore", "TaskCore", "Task Management API", "task management api"),
    )
    for guess in personal:
        refused = register(site, guess, email=email, full_name=person)
        assert code(refused) == "password_too_personal", guess
    ada = site.join()
    for guess in (ada.email, ada.email.partition("@")[0], "taskcore"):
        assert code(change(site, ada, PASSWORD, guess)) == "password_too_personal", guess
    label, shown = f"{name}@xn--mnchen-3ya.de", f"{name}@m\u00fcnchen.de"
    for guess in (label, shown, f"{name}@m\uff55\u0308nchen.de"):  # one domain, however spelled
        assert code(register(site, guess, email=shown)) == "password_too_personal", guess
        assert code(register(site, guess, email=label)) == "password_too_personal", guess
    for number, part in enumerate((f"{name}!", f"{person} the First", "taskcore 2")):
        answer = register(site, part, email=f"{number}{email}", full_name=person)
        assert answer.status == 201, part


def test_a_change_needs_the_current_password_and_ends_other_sessions(site: Site) -> None:
    """PW-8: the caller's own session goes on, every other ends, on every process."""
    ada, bob = site.join(), site.join()
    other = site.log_in(ada.email).json
    for current in (WRONG, "", NEW, PASSWORD + "x"):
        refused = change(site, ada, current, NEW)
        assert (refused.status, refused.json["code"]) == (401, "invalid_credentials")
    assert site.log_in(ada.email, NEW).status == 401
    assert site.me(other["access_token"]) == 200
    # A cookie or a field that names another session changes nothing: only the token counts.
    cookie = {"Cookie": f"session={other['refresh_token']}"}
    assert change(site, ada, PASSWORD, NEW, headers=cookie).status == 204
    for process in (0, 1):
        assert site.me(ada.access, process=process) == 200
        assert site.me(other["access_token"], process=process) == 401
        assert site.refresh(other["refresh_token"], process=process).status == 401
        assert site.log_in(ada.email, PASSWORD, process=process).status == 401
    assert site.refresh(ada.refresh, process=1).status == 200
    assert site.log_in(ada.email, NEW, process=1).status == 200
    assert site.me(bob.access) == 200
    events = site.events(ada.id)
    assert (events.count("reauth.failed"), events.count("password.changed")) == (4, 1)


def test_a_change_is_tried_five_times_a_minute(site: Site) -> None:
    """PW-8: by one user, from any address; the sixth is refused with the right password too."""
    ada, bob = site.join(), site.join()
    answers = [change(site, ada, WRONG, NEW, process=n % 2).status for n in range(6)]
    assert answers == [401] * 5 + [429]
    assert change(site, ada, PASSWORD, NEW, ip=fresh_ip()).status == 429
    assert change(site, bob, PASSWORD, NEW).status == 204


def test_one_of_many_concurrent_changes_of_a_password_succeeds(site: Site) -> None:
    """PW-8: the current password is compared again when the change is written."""
    for _ in range(3):
        ada = site.join()

        def compete(number: int, ada: Account = ada) -> Answer:
            return change(site, ada, PASSWORD, f"{NEW} {number}", process=number % 2)

        answers = at_once(compete, 4)
        assert sorted(answer.status for answer in answers) == [204, 401, 401, 401]
        works = [site.log_in(ada.email, f"{NEW} {n}").status == 200 for n in range(4)]
        assert works == [answer.status == 204 for answer in answers]


@pytest.mark.anyio
async def test_a_change_outside_of_a_session_ends_all_sessions(core: Core) -> None:
    """PW-8: an actor without a session keeps none."""
    ada = await join(core, "ada")
    await core.accounts.change_password(
        Actor(ada.user.id, ada.user.role), current_password=THEIRS, new_password=NEW
    )
    assert await core.sessions.own(ada.actor) == []
    with pytest.raises(InvalidToken):
        await core.sessions.authenticate(ada.grant.access_token)


def test_administrators_set_a_password_by_one_call_and_see_none(site: Site, root: Account) -> None:
    """PW-9: no field of another request sets the password of an existing account."""
    ada = site.join()
    for field in ("password", "new_password", "hashed_password", "password_hash"):
        refused = site.ask("PATCH", f"/users/{ada.id}", {field: NEW}, token=root.access)
        (error,) = refused.json["errors"]
        assert (refused.status, error["code"]) == (422, "unknown_field")
    assert site.log_in(ada.email).status == 200
    shown = site.ask("GET", f"/users/{ada.id}", token=root.access).body
    assert b"password" not in shown
    assert b"$argon2" not in shown + site.ask("GET", "/users", token=root.access).body


def test_one_operation_takes_a_password_for_another_user(site: Site) -> None:
    """PW-9: one use case, operation and command; the others that take one name no user."""
    core = Core.__annotations__
    taking = {
        f"{noun}.{name}"
        for noun in ("accounts", "sessions", "tasks", "audit", "gate")
        for name, function in inspect.getmembers(core[noun], inspect.isfunction)
        if not name.startswith("_") and "password" in str(inspect.signature(function))
    }
    own = {"accounts.change_password", "accounts.delete_own"}
    of_others = {"accounts.set_password"}
    assert taking == own | of_others | {"accounts.register", "accounts.create", "sessions.log_in"}
    for name in taking - of_others:
        noun, _, verb = name.partition(".")
        assert "user_id" not in inspect.signature(getattr(core[noun], verb)).parameters

    bodies = site.apis[0].call("GET", f"{V1}/openapi.json").json["components"]["schemas"]
    with_one = {n for n, body in bodies.items() if "password" in str([*body.get("properties", ())])}
    assert with_one == {
        *("Registration", "Credentials", "PasswordChange", "AccountDeletion", "UserDraft"),
        *("PasswordDraft", "PasswordSet"),
    }
    assert _asking(commands()) == {("users", "create"), ("users", "set-password")}


def test_a_set_password_ends_every_session_everywhere(site: Site, root: Account) -> None:
    """PW-9: on every process; the old password is a wrong one, and the audit names who did it."""
    ada = site.join()
    there = f"/users/{ada.id}/password"
    assert site.ask("POST", there, {"password": NEW}, token=ada.access).status == 403
    done = site.ask("POST", there, {"password": NEW}, token=root.access)
    assert (done.status, done.json) == (200, {"one_time_password": None, "expires_at": None})
    for process in (0, 1):
        assert site.me(ada.access, process=process) == 401
        assert site.refresh(ada.refresh, process=process).status == 401
        assert site.log_in(ada.email, PASSWORD, process=process).status == 401
    assert site.log_in(ada.email, NEW, process=1).status == 200
    own = site.ask("POST", f"/users/{root.id}/password", {"password": NEW}, token=root.access)
    assert (own.status, own.json["code"]) == (403, "forbidden")


def test_a_one_time_password_is_good_for_choosing_another(site: Site, root: Account) -> None:
    """PW-9: it opens no session, works once and for a day, and is stored as a hash alone."""
    ada = site.join()
    there = f"/users/{ada.id}/password"
    key = {"Idempotency-Key": "once"}
    void = site.ask("POST", there, {"one_time": True}, token=root.access, headers=key)
    made = site.ask("POST", there, {"one_time": True}, token=root.access, headers=key)
    malformed = {"Idempotency-Key": "not one"}
    bad = site.ask("POST", there, {"one_time": True}, token=root.access, headers=malformed)
    assert bad.status == 422
    one_time = made.json["one_time_password"]
    assert one_time != void.json["one_time_password"]
    assert one_time not in site.dump()
    body = {"email": ada.email, "password": one_time}
    told = site.ask("POST", "/auth/login", body)
    assert (told.status, told.json["code"]) == (403, "password_change_required")
    assert site.sql("SELECT 1 FROM sessions WHERE user_id = %s", ada.id) == []
    for new, why in ((one_time, "password_unchanged"), ("password1", "password_too_common")):
        assert code(site.ask("POST", "/auth/login", body | {"new_password": new})) == why
    old = body | {"password": void.json["one_time_password"], "new_password": NEW}
    assert site.ask("POST", "/auth/login", old).status == 401
    changed = site.ask("POST", "/auth/login", body | {"new_password": NEW}, process=1)
    assert site.me(changed.json["access_token"]) == 200
    assert site.ask("POST", "/auth/login", body | {"new_password": NEW}).status == 401
    again = {"email": ada.email, "password": NEW}
    assert code(site.ask("POST", "/auth/login", again | {"new_password": NEW})) == (
        "no_one_time_password"
    )

    late = site.ask("POST", there, {"one_time": True}, token=root.access)
    site.sql(
        "UPDATE users SET hashed_password = regexp_replace(hashed_password, '\\d+', '1')"
        " WHERE id = %s",
        ada.id,
    )
    body["password"] = late.json["one_time_password"]
    assert site.ask("POST", "/auth/login", body).status == 401


def _asking(app: App, *path: str) -> set[tuple[str, ...]]:
    names = [name for name in app if not name.startswith("-")]
    found = {leaf for name in names for leaf in _asking(app[name], *path, name)}
    arguments = app.assemble_argument_collection() if path and not names else []
    return found | {path for argument in arguments if "password" in argument.name}


@pytest.mark.anyio
async def test_what_holds_a_secret_does_not_show_it(core: Core, store: Store) -> None:
    """PW-10: settings, the core with its keys, accounts, bodies, answers, and refusals."""
    ada = await join(core, "ada")
    url = f"postgresql://ada:{WRONG}@db/x".replace(" ", "")
    settings = Settings.from_env({"DATABASE_URL": url, "SECRET_KEY": PASSWORD * 2})
    with pytest.raises(Invalid) as refusal:
        await core.accounts.register(email=address("bob"), password=PASSWORD * 20)
    tokens = (ada.grant.access_token, ada.grant.refresh_token)
    said = (
        Registration(email="a@b.org", password=PASSWORD),
        Credentials(email="a@b.org", password=PASSWORD),
        PasswordChange(current_password=PASSWORD, new_password=PASSWORD),
        AccountDeletion(password=PASSWORD),
        UserDraft(email="a@b.org", password=PASSWORD),
        PasswordDraft(password=PASSWORD),
        PasswordSetView(PASSWORD, None),
        Refresh(refresh_token=tokens[1]),
        Tokens(*tokens, "bearer", 1800, UserView.of(ada.user)),
        ada.grant,
    )
    shown = "".join(f"{it!r} {it}" for it in (core, ada.user, settings, refusal.value, *said))
    stored = await hash_of(store, ada.user.id)
    secrets = (PASSWORD, WRONG.replace(" ", ""), stored, repr(KEY)[2:-1], *tokens)
    for secret in secrets:
        assert secret not in shown


def test_bytes_that_are_no_text_are_refused_as_a_password(site: Site, ada: Account) -> None:
    """PW-11: lone surrogates and broken UTF-8 are refused over HTTP and at the terminal."""
    broken = f"{PASSWORD}\ud800"
    answers = (
        register(site, broken),
        site.log_in(ada.email, broken),
        change(site, ada, broken, NEW),
        change(site, ada, PASSWORD, broken),
        site.ask("POST", "/auth/delete-account", {"password": broken}, token=ada.access),
    )
    assert [answer.status for answer in answers] == [400] * 5
    api = site.apis[0]
    typed = ("users", "create", "--email", "eve@example.org", "--password-stdin")
    for given in (PASSWORD.encode() + b"\xff\n", PASSWORD.encode() + b"\xed\xa0\x80\n"):
        refused = programs.run(*typed, env=api.env, cwd=api.folder, stdin=given)
        assert (refused.code, refused.out) == (65, "")
        assert "password: is not valid UTF-8" in refused.err
        assert PASSWORD not in refused.err
    assert site.sql("SELECT 1 FROM users WHERE email_key = 'eve@example.org'") == []
