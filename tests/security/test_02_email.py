"""Which addresses are the same account, and which are none: rows MAIL of docs/security.md."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

import taskcore.adapters.postgres as adapter
from taskcore import Invalid
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.emails import Email
from tests.api.served import exchange
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, at_once
from tests.server.running import Answer


def register(site: Site, email: str, *, process: int = 0) -> Answer:
    body = {"email": email, "password": PASSWORD}
    return site.ask("POST", "/auth/register", body, process=process)


def problem(answer: Answer) -> tuple[int, str, str]:
    (error,) = answer.json["errors"]
    return answer.status, error.get("pointer") or error["parameter"], error["code"]


def test_an_account_has_one_address_however_it_is_spelt(site: Site) -> None:
    """MAIL-1: the owner's spelling is kept; its key identifies the account on every process."""
    name = uuid4().hex
    made = register(site, f"Ada.{name}@Example.ORG")
    assert made.status == 201
    assert made.json["email"] == f"Ada.{name}@example.org"
    for spelling in (f"ada.{name}@example.org", f"ADA.{name.upper()}@EXAMPLE.ORG"):
        taken = register(site, spelling, process=1)
        assert (taken.status, taken.json["code"]) == (409, "email_taken")
        assert site.log_in(spelling, process=1).json["user"] == made.json
    kept = site.sql("SELECT email, email_key FROM users WHERE id = %s", made.json["id"])
    assert kept == [(f"Ada.{name}@example.org", f"ada.{name}@example.org")]


def test_the_database_holds_each_key_once(site: Site, ada: Account) -> None:
    """MAIL-1: a unique constraint holds for every writer."""
    with pytest.raises(psycopg.errors.UniqueViolation) as refusal:
        site.sql(
            "INSERT INTO users (email, email_key, hashed_password) VALUES (%s, %s, '!')",
            *(f"Other.{ada.email}", ada.email),
        )
    assert refusal.value.diag.constraint_name == "users_email_key_key"


def statements() -> Iterator[tuple[str, Statement]]:
    """Every SQL statement of the program."""
    for info in pkgutil.iter_modules(adapter.__path__):
        module = importlib.import_module(f"{adapter.__name__}.{info.name}")
        for name, found in vars(module).items():
            if isinstance(found, Statement):
                yield f"{info.name}.{name}", found


def test_only_python_knows_what_lower_case_is(site: Site) -> None:
    """MAIL-1: no statement, index, constraint or trigger compares addresses in its own way."""
    sent = {name: found.sql.decode() for name, found in statements()}
    assert "users._FIND_BY_EMAIL" in sent
    assert len(sent) > 30
    stored = site.sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
        " UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " UNION ALL SELECT column_name, udt_name || coalesce(' ' || collation_name, '')"
        " FROM information_schema.columns WHERE table_name = 'users' AND table_schema = 'public'"
    )
    assert ("email_key", "text") in stored
    for name, text in (*sent.items(), *stored):
        words = r"\b(lower|upper|initcap|casefold|normalize|collate|citext)\b|\bi?like\b|~"
        by_bytes = text.lower().replace('collate "c"', "")  # which tells cases apart
        assert not re.search(words, by_bytes), name


LOOK_ALIKES = {
    "Kelvin sign": "\u212aarl",
    "full width": "\uff41da",
    "Cyrillic": "\u0430dmin",
    "dotless i": "adm\u0131n",
    "dotted I": "ADM\u0130N",
    "sharp s": "stra\u00dfe",
    "long s": "\u017fam",
    "emoji": "\U0001f600",
    "an accent of its own": "ade\u0301",
}


@pytest.mark.parametrize("what", LOOK_ALIKES)
def test_a_name_that_looks_like_another_is_none(site: Site, what: str) -> None:
    """MAIL-2: a local part that is not ASCII is refused at registration and login."""
    email = f"{LOOK_ALIKES[what]}@example.org"
    assert problem(register(site, email)) == (422, "/email", "invalid_email")
    assert site.log_in(email).status == 401


@pytest.mark.parametrize(
    ("spelling", "domain"),
    [
        ("m\u00fcnchen.de", "xn--mnchen-3ya.de"),
        ("M\u00dcNCHEN.DE", "xn--mnchen-3ya.de"),
        ("mu\u0308nchen.de", "xn--mnchen-3ya.de"),
        ("\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25.com", "example.com"),
        ("example\u3002com", "example.com"),
        ("ex\u0430mple.com", "xn--exmple-4nf.com"),
    ],
)
def test_a_domain_has_one_spelling(site: Site, spelling: str, domain: str) -> None:
    """MAIL-2: a domain in any script is kept, shown and compared as its A-label."""
    name = uuid4().hex
    made = register(site, f"{name}@{spelling}")
    assert made.status == 201
    assert made.json["email"] == f"{name}@{domain}"
    assert register(site, f"{name}@{domain}", process=1).status == 409
    for email in (f"{name}@{spelling}", f"{name}@{domain}"):
        assert site.log_in(email).json["user"]["id"] == made.json["id"]


def test_no_domain_is_looked_up(site: Site) -> None:
    """MAIL-2: no request waits for a name server; the domain need not exist."""
    assert register(site, f"{uuid4().hex}@nowhere.invalid").status == 201


NASTY = {
    "NUL": "a\x00b@example.org",
    "NUL at the end": "ab@example.org\x00",
    "a line feed": "ab@example.org\nBcc: eve@example.org",
    "a carriage return": "ab@example.org\r\nBcc: eve@example.org",
    "a line feed before": "\nab@example.org",
    "a space": "a b@example.org",
    "a space at the end": "ab@example.org ",
    "a tab": "a\tb@example.org",
    "right to left": "a\u202eb@example.org",
    "right to left in the domain": "ab@exam\u202eple.org",
    "no width": "a\u200bb@example.org",
    "no width in the domain": "ab@exam\u200bple.org",
    "a joiner in the domain": "ab@exam\u200dple.org",
    "a soft hyphen in the domain": "ab@exam\u00adple.org",
    "a line separator": "ab@example.org\u2028",
}


def test_no_address_has_invisible_characters(site: Site, root: Account) -> None:
    """MAIL-3: refused wherever an address is given, and never sent back in a header."""
    for what, email in NASTY.items():
        body = {"email": email, "password": PASSWORD}
        created = site.ask("POST", "/users", body, token=root.access)
        for answer in (register(site, email), created):
            status, pointer, code = problem(answer)
            assert (status, pointer) == (422, "/email"), what
            assert code in {"control_character", "invalid_email"}, what
            assert "eve@" not in repr(answer.headers) + repr(answer.body)
        login = site.log_in(email)
        assert (login.status, login.json["code"]) == (401, "invalid_credentials"), what
        assert "eve@" not in repr(login.headers)
        searched = site.ask("GET", f"/users?email={quote(email)}", token=root.access)
        assert problem(searched)[:2] == (422, "email"), what


def test_half_a_character_is_no_text(site: Site) -> None:
    """MAIL-3: a lone surrogate is a 4xx however it is encoded."""
    for path in ("/auth/register", "/auth/login"):
        for email in ("\ud800ab@example.org", "ab@exam\udfffple.org"):  # escaped on its way
            body = {"email": email, "password": PASSWORD}
            assert site.ask("POST", path, body).status == 400
        raw = b'{"email": "\xed\xa0\x80ab@example.org", "password": "12345678"}'
        head = (
            f"POST {V1}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        (reply,) = exchange(site.apis[0].port, head.encode() + raw)
        assert (reply.status, reply.json["code"]) == (400, "malformed_request")


def read(*_: Any) -> NoReturn:
    raise AssertionError("it was read before its length was checked")


READING = (
    "partition rpartition split encode lower casefold isascii __iter__ __getitem__ __contains__"
)
# A text that fails when more than its length is read.
Book = type("Book", (str,), dict.fromkeys(READING.split(), read))


def test_length_is_looked_at_first(site: Site, root: Account) -> None:
    """MAIL-4: what is too long is refused for that before any other check."""
    book = "\u00e9\x00@" * 30_000  # nothing of it an address
    with pytest.raises(Invalid) as refusal:
        Email.parse(Book(book))
    assert [found.code for found in refusal.value.problems] == ["too_long"]

    page = "@" * 60_000  # fits into a body
    assert problem(register(site, page)) == (422, "/email", "too_long")
    body = {"email": page, "password": PASSWORD}
    assert problem(site.ask("POST", "/users", body, token=root.access))[2] == "too_long"
    assert site.log_in(page, WRONG).status == 401
    assert register(site, "@" * 70_000).status == 413
    found = site.ask("GET", f"/users?email={'@' * 300}", token=root.access)
    assert problem(found) == (422, "email", "too_long")


def test_an_address_has_up_to_254_characters(site: Site) -> None:
    """MAIL-4: of RFC 5321; 64 of them before the @."""
    local = uuid4().hex * 2
    domain = f"{'b' * 63}.{'c' * 63}.{'d' * 57}.org"
    assert register(site, f"{local}@{domain}").status == 201
    assert problem(register(site, f"{local}@b{domain[:-4]}b.org"))[2] == "too_long"
    assert problem(register(site, f"{local}x@example.org"))[2] == "invalid_email"


def test_no_provider_has_rules_of_its_own(site: Site) -> None:
    """MAIL-5: dots and tags make different addresses, hence different accounts."""
    name = uuid4().hex
    spellings = (name, f"{name[:9]}.{name[9:]}", f"{name}+work", f"{name}-work")
    made = [register(site, f"{spelling}@gmail.com") for spelling in spellings]
    assert [answer.status for answer in made] == [201] * 4
    assert len({answer.json["id"] for answer in made}) == 4
    for spelling, answer in zip(spellings, made, strict=True):
        assert site.log_in(f"{spelling}@gmail.com").json["user"] == answer.json


def test_of_many_who_want_one_address_one_gets_it(site: Site) -> None:
    """MAIL-7: at once, on two processes, in two spellings: one 201, else 409, never an error."""
    for _ in range(3):
        name = uuid4().hex

        def compete(number: int, name: str = name) -> Answer:
            spelt = f"{name}@example.org"
            return register(site, spelt.upper() if number // 2 % 2 else spelt, process=number % 2)

        answers = at_once(compete, 10)
        assert sorted(answer.status for answer in answers) == [201] + [409] * 9
        assert {a.json["code"] for a in answers if a.status == 409} == {"email_taken"}
        rows = site.sql("SELECT id FROM users WHERE email_key = %s", f"{name}@example.org")
        (winner,) = (json.loads(a.body)["id"] for a in answers if a.status == 201)
        assert rows == [(winner,)]
