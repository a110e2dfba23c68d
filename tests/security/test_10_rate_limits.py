"""Limits against guessing, over two and four server processes: rows RL of docs/security.md."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from taskcore import InvalidCredentials, Origin, Settings, TooMany, Unavailable, open_core
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.memory.rate_limits import MemoryLimiter, Unlimited
from taskcore.adapters.postgres import Connections, PostgresLimiter, PostgresStore
from taskcore.domain.origins import address
from taskcore.domain.rate_limits import LOGIN_IN_A_ROW, REFRESH_ACCOUNT
from taskcore.ports import Claim, Denial, Removal
from taskcore.settings import Secret
from taskcore.testing import CheapHasher
from tests.api.served import as_url
from tests.conftest import KEY, ManualClock, bound, cheap_argon2, emptied
from tests.security.site import PASSWORD, WRONG, Account, Site, at_once, fresh_ip, site
from tests.server.running import Answer
from tests.usecases.people import join
from tests.usecases.spies import WatchedHasher


@pytest.fixture(scope="module")
def four(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("four"), database_url, processes=4) as found:
        yield found


def stranger() -> str:
    return f"{uuid4().hex}@example.org"


def keep_to(quota: int, statuses: Iterable[int], began: float) -> None:
    """Check that a quota a minute was admitted, and at most what has come back since `began`.

    On a busy machine some comes back while the requests are sent.
    """
    admitted = sum(status != 429 for status in statuses)
    assert quota <= admitted <= quota + (time.monotonic() - began) * quota / 60


def test_four_processes_admit_ten_failures_of_one_address(four: Site) -> None:
    """RL-1: the limit is exact for concurrent requests to several processes."""
    for _ in range(3):
        ip = fresh_ip()

        def guess(number: int, ip: str = ip) -> Answer:
            return four.log_in(stranger(), WRONG, ip=ip, process=number % 4)

        began = time.monotonic()
        statuses = [answer.status for answer in at_once(guess, 40)]
        assert set(statuses) <= {401, 429}
        keep_to(10, statuses, began)


def test_fifty_guesses_at_once_are_five(four: Site) -> None:
    """RL-1, RL-2: the attempt is counted before the password is compared."""
    ada = four.join()
    for email, user_id in ((ada.email, ada.id), (stranger(), None)):
        ip = fresh_ip()

        def guess(number: int, email: str = email, ip: str = ip) -> Answer:
            return four.log_in(email, WRONG, ip=ip, process=number % 4)

        answers = at_once(guess, 50)
        assert Counter(answer.status for answer in answers) == {401: 5, 429: 45}
        looked_at = four.sql(
            "SELECT user_id FROM audit_events WHERE event = 'login.failed' AND ip = %s", ip
        )
        assert looked_at == [(user_id,)] * 5


@pytest.mark.anyio
async def test_the_hasher_runs_five_times_for_fifty_guesses_on_two_cores(
    database_url: str, clock: ManualClock
) -> None:
    """RL-2: seen from inside, on two pools of connections to one database."""
    emptied(database_url)
    hasher = WatchedHasher(cheap_argon2())
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(Connections(database_url)) for _ in range(2)]
        cores = [
            bound(PostgresStore(pool), clock, hasher, limiter=PostgresLimiter(pool, KEY))
            for pool in pools
        ]
        await cores[0].accounts.register(email="ada@example.org", password=PASSWORD)
        guesses = [
            cores[n % 2].sessions.log_in(
                email="ada@example.org", password=WRONG, origin=Origin("192.0.2.1")
            )
            for n in range(50)
        ]
        found = Counter(map(type, await asyncio.gather(*guesses, return_exceptions=True)))
    assert found == {InvalidCredentials: 5, TooMany: 45}
    assert len(hasher.verified) == 5


def test_what_is_counted_outlives_the_refusal(site: Site) -> None:
    """RL-3: counters are committed on their own."""
    before = site.sql("SELECT count(*) FROM rate_limits")
    ip, email = fresh_ip(), stranger()
    assert site.log_in(email, WRONG, ip=ip).status == 401
    ((count,),) = site.sql("SELECT count(*) FROM rate_limits")
    assert count >= before[0][0] + 5
    statuses = [site.log_in(email, WRONG, ip=ip, process=n % 2).status for n in range(5)]
    assert statuses == [401] * 4 + [429]


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.07", None),
        ("192.0.2.7:80", None),
        ("localhost", None),
        ("", None),
        (None, None),
        ("\ud800", None),
    ],
)
def test_a_network_is_an_ipv4_address_or_an_ipv6_prefix(
    ip: str | None, network: str | None
) -> None:
    """RL-4: IPv4 /32, IPv6 /64, and an IPv4-mapped IPv6 address is that IPv4 address."""
    assert Origin.new(ip=ip).network == network
    assert (address(ip) is None) is (network is None)


def test_a_subscriber_of_ipv6_has_one_budget(site: Site) -> None:
    """RL-4: changing the address within a /64 gains no attempt."""
    net = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    statuses = [site.log_in(stranger(), WRONG, ip=f"{net}::{n:x}").status for n in range(1, 13)]
    assert statuses == [401] * 10 + [429] * 2
    assert site.log_in(stranger(), WRONG, ip="2001:db8:ffff:ffff::1").status == 401


@pytest.mark.anyio
async def test_an_ipv6_site_has_ten_times_the_quota_of_a_network(
    clock: ManualClock, hasher: WatchedHasher
) -> None:
    """RL-4: a /48 has 65 536 networks to try from."""
    core = bound(MemoryStore(), clock, hasher, limiter=MemoryLimiter(clock))

    async def outcome(ip: str) -> type[BaseException]:
        with pytest.raises((InvalidCredentials, TooMany)) as refusal:
            await core.sessions.log_in(email=stranger(), password=WRONG, origin=Origin(ip))
        return refusal.type

    outcomes = Counter([await outcome(f"2001:db8:1:{n:x}::1") for n in range(120)])
    assert outcomes == {InvalidCredentials: 100, TooMany: 20}
    assert await outcome("2001:db8:2:1::1") is InvalidCredentials
    assert await outcome("192.0.2.1") is InvalidCredentials


def seen_ip(site: Site, forwarded: Mapping[str, str]) -> str:
    """What the audit says of where a login came from."""
    email = stranger()
    answer = site.ask("POST", "/auth/login", {"email": email, "password": WRONG}, headers=forwarded)
    assert answer.status in {401, 429}
    request_id = answer.headers["x-request-id"]
    rows = site.sql("SELECT ip FROM audit_events WHERE request_id = %s", request_id)
    return str(rows[0][0])


def test_the_last_untrusted_address_of_a_trusted_proxy_counts(site: Site) -> None:
    """RL-5: entries to the left of it come from the client and are ignored."""
    real = fresh_ip()
    for header, ip in [
        (real, real),
        (f"6.6.6.6, {real}", real),
        (f"6.6.6.6,{real} , 127.0.0.1", real),
        (f"{real}:4711", real),
        (f"6.6.6.6, [2001:db8::{real.rpartition('.')[2]}]:80", None),
        ("6.6.6.6, unknown", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ]:
        expected = ip or f"2001:db8::{real.rpartition('.')[2]}"
        assert seen_ip(site, {"X-Forwarded-For": header}) == expected, header
    others = {"X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Client-IP": "6.6.6.6"}
    assert seen_ip(site, others | {"X-Forwarded-For": real}) == real


def test_only_a_trusted_proxy_is_believed(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """RL-5: without TRUSTED_PROXIES no header changes the bucket or the audit."""
    folder = tmp_path_factory.mktemp("alone")
    with site(folder, database_url, processes=1, TRUSTED_PROXIES="192.0.2.0/24") as alone:
        assert seen_ip(alone, {"X-Forwarded-For": "6.6.6.6"}) == "127.0.0.1"
        statuses = [alone.log_in(stranger(), WRONG, ip=fresh_ip()).status for _ in range(11)]
        assert statuses == [401] * 9 + [429] * 2


def test_a_locked_out_owner_keeps_sessions_and_logs_in_from_elsewhere(
    site: Site, ada: Account
) -> None:
    """RL-6: an attacker cannot shut the owner out."""
    attacker = fresh_ip()
    statuses = [site.log_in(ada.email, WRONG, ip=attacker).status for _ in range(30)]
    assert statuses == [401] * 5 + [429] * 25
    assert site.log_in(ada.email, PASSWORD, ip=attacker).status == 429
    assert site.me(ada.access, process=1) == 200
    refreshed = site.refresh(ada.refresh, ip=ada.ip, process=1)
    assert refreshed.status == 200
    assert site.log_in(ada.email, PASSWORD, process=1).status == 200


def test_strangers_who_use_up_an_account_do_not_shut_out_where_its_owner_is(
    site: Site, ada: Account
) -> None:
    """RL-6: from where the owner is logged in already, a budget of its own counts."""
    for _ in range(4):
        attacker = fresh_ip()
        assert [site.log_in(ada.email, WRONG, ip=attacker).status for _ in range(5)] == [401] * 5
    assert site.log_in(ada.email, PASSWORD).status == 429  # from nowhere known
    assert site.log_in(ada.email, WRONG, ip=ada.ip).status == 401
    assert site.log_in(ada.email, PASSWORD, ip=ada.ip, process=1).status == 200
    assert site.log_in(ada.email, WRONG).status == 429  # and strangers get no new guesses by that


@pytest.mark.anyio
async def test_a_used_up_global_limit_keeps_no_owner_out_of_a_known_place(
    clock: ManualClock,
) -> None:
    """RL-6: nor does the global limit."""
    async with cheap_argon2() as hasher:
        core = bound(MemoryStore(), clock, hasher, limiter=MemoryLimiter(clock))
        user = await core.accounts.register(email="ada@example.org", password=PASSWORD)

        async def log_in(email: str, password: str, ip: str) -> type[BaseException] | None:
            try:
                await core.sessions.log_in(email=email, password=password, origin=Origin(ip))
            except (InvalidCredentials, TooMany) as refusal:
                return type(refusal)
            return None

        home = fresh_ip()
        assert await log_in(user.email, PASSWORD, home) is None
        outcomes = Counter([await log_in(stranger(), WRONG, fresh_ip()) for _ in range(1010)])
        assert outcomes == {InvalidCredentials: 1000, TooMany: 10}
        assert await log_in(user.email, PASSWORD, fresh_ip()) is TooMany
        assert await log_in(user.email, PASSWORD, home) is None


def test_an_operator_lets_an_owner_in_again(site: Site, root: Account) -> None:
    """RL-6: what strangers have used up of an account is forgotten by `taskcli users unlock`."""
    ada = site.join()
    assert site.ask("POST", "/auth/logout-all", token=ada.access).status == 204
    for _ in range(4):
        attacker = fresh_ip()
        assert [site.log_in(ada.email, WRONG, ip=attacker).status for _ in range(5)] == [401] * 5
    assert site.log_in(ada.email).status == 429
    site.taskcli("users", "unlock", ada.email)
    time.sleep(0.3)  # a server remembers a denial for 0.2 s
    assert site.log_in(ada.email).status == 200
    assert site.log_in(root.email).status == 200


@pytest.mark.anyio
async def test_no_more_than_a_hundred_failures_in_a_row(clock: ManualClock) -> None:
    """RL-7: then one in seven hours, until the owner logs in."""
    async with cheap_argon2() as hasher:
        core = bound(MemoryStore(), clock, hasher, limiter=MemoryLimiter(clock))
        await core.accounts.register(email="ada@example.org", password=PASSWORD)

        async def guess(password: str = WRONG) -> type[BaseException] | None:
            origin = Origin(fresh_ip())  # a guesser with as many addresses as there are
            try:
                await core.sessions.log_in(
                    email="ada@example.org", password=password, origin=origin
                )
            except (InvalidCredentials, TooMany) as refusal:
                return type(refusal)
            return None

        outcomes: Counter[object] = Counter()
        for _ in range(140):
            clock.advance(minutes=3)
            outcomes[await guess()] += 1
        assert outcomes[InvalidCredentials] == 100
        assert await guess(PASSWORD) is TooMany
        clock.moment += LOGIN_IN_A_ROW.step
        assert await guess(PASSWORD) is None
        outcomes = Counter([await guess() for _ in range(25)])
        assert outcomes == {InvalidCredentials: 20, TooMany: 5}


def test_a_login_of_ones_own_between_guesses_gives_no_more_guesses(
    site: Site, bob: Account
) -> None:
    """RL-8: a success clears the account's failures, but only its own attempt of the address."""
    ip = fresh_ip()
    for _ in range(9):
        assert site.log_in(stranger(), WRONG, ip=ip).status == 401
    assert site.log_in(bob.email, ip=ip).status == 200
    assert site.log_in(stranger(), WRONG, ip=ip).status == 401
    assert site.log_in(stranger(), WRONG, ip=ip).status == 429

    ip = fresh_ip()
    for _ in range(3):  # of one's own account all failures are forgotten
        for _ in range(3):
            assert site.log_in(bob.email, WRONG, ip=ip).status == 401
        assert site.log_in(bob.email, ip=ip).status == 200


def test_a_denial_says_when_to_come_again_and_not_what_was_used_up(site: Site) -> None:
    """RL-9: the same response for an account, an address and both."""
    ada, ip = site.join(), fresh_ip()
    by_pair = [site.log_in(ada.email, WRONG, ip=ip) for _ in range(6)][-1]
    by_network = [site.log_in(stranger(), WRONG, ip=ip) for _ in range(6)][-1]
    shapes = set()
    for answer in (by_pair, by_network):
        assert answer.status == 429
        seconds = int(answer.headers["retry-after"])
        assert 1 <= seconds <= 60
        assert answer.headers["ratelimit-policy"] == '"login";q=5;w=300'
        assert answer.headers["ratelimit"] == f'"login";r=0;t={seconds}'
        problem = answer.json
        del problem["request_id"]
        unit = "second" if seconds == 1 else "seconds"
        assert problem.pop("detail") == f"Too many attempts; try again in {seconds} {unit}"
        shapes.add((repr(sorted(problem.items())), tuple(sorted(answer.headers))))
    assert len(shapes) == 1


class AwayLimiter:
    """A limiter whose database is away."""

    async def acquire(self, *_: Claim) -> Denial | None:
        raise Unavailable

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        del shares
        raise Unavailable

    async def forget(self, limit: int) -> Removal:
        del limit
        raise Unavailable


@pytest.fixture
async def hasher() -> AsyncIterator[WatchedHasher]:
    async with cheap_argon2() as inner:
        yield WatchedHasher(inner)


@pytest.mark.anyio
async def test_a_limiter_that_is_away_refuses_every_attempt(
    clock: ManualClock, hasher: WatchedHasher
) -> None:
    """RL-10: logins, registrations and refreshes get 503; other requests go on."""
    store = MemoryStore()
    open_ = bound(store, clock, hasher)
    await open_.accounts.register(email="ada@example.org", password=PASSWORD)
    grant = await open_.sessions.log_in(email="ada@example.org", password=PASSWORD)
    hasher.verified.clear()
    core = bound(store, clock, hasher, limiter=AwayLimiter())
    origin = Origin("192.0.2.1")
    for attempt in (
        core.sessions.log_in(email="ada@example.org", password=PASSWORD, origin=origin),
        core.accounts.register(email="bob@example.org", password=PASSWORD, origin=origin),
        core.sessions.refresh(refresh_token=grant.refresh_token, origin=origin),
    ):
        with pytest.raises(Unavailable):
            await attempt
    assert hasher.verified == []
    actor = await core.sessions.authenticate(grant.access_token, origin=origin)
    task = await core.tasks.create(actor, title="Write the letter")
    assert (await core.tasks.page(actor)).items == [task]


@pytest.mark.anyio
async def test_a_busy_hasher_costs_no_attempt(clock: ManualClock, hasher: WatchedHasher) -> None:
    """RL-2: a password that was not compared neither counts nor clears a count."""

    async def busy() -> None:
        raise Unavailable

    core = bound(MemoryStore(), clock, hasher, limiter=MemoryLimiter(clock))
    await core.accounts.register(email="ada@example.org", password=PASSWORD)

    async def guess() -> type[BaseException]:
        with pytest.raises((InvalidCredentials, TooMany, Unavailable)) as refusal:
            await core.sessions.log_in(email="ada@example.org", password=WRONG)
        return refusal.type

    hasher.while_verifying = busy
    assert {await guess() for _ in range(20)} == {Unavailable}
    hasher.while_verifying = WatchedHasher(hasher.inner).while_verifying
    assert [await guess() for _ in range(4)] == [InvalidCredentials] * 4
    hasher.while_verifying = busy
    assert {await guess() for _ in range(20)} == {Unavailable}
    hasher.while_verifying = WatchedHasher(hasher.inner).while_verifying
    assert [await guess() for _ in range(2)] == [InvalidCredentials, TooMany]


@pytest.mark.anyio
async def test_a_busy_hasher_costs_no_attempt_where_a_password_is_asked_for_again(
    clock: ManualClock, hasher: WatchedHasher
) -> None:
    """RL-2: nor does it where a logged-in user changes the password or deletes the account."""

    async def busy() -> None:
        raise Unavailable

    core = bound(MemoryStore(), clock, hasher, limiter=MemoryLimiter(clock))
    ada = await join(core, "ada")

    async def change() -> None:
        await core.accounts.change_password(
            ada.actor, current_password=WRONG, new_password=PASSWORD
        )

    async def delete() -> None:
        await core.accounts.delete_own(ada.actor, password=WRONG)

    async def outcome(attempt: Callable[[], Awaitable[None]]) -> type[BaseException]:
        with pytest.raises((InvalidCredentials, TooMany, Unavailable)) as refusal:
            await attempt()
        return refusal.type

    for attempt in (change, delete):
        hasher.while_verifying = busy
        assert {await outcome(attempt) for _ in range(20)} == {Unavailable}
        hasher.while_verifying = WatchedHasher(hasher.inner).while_verifying
        assert {await outcome(attempt) for _ in range(5)} == {InvalidCredentials}
    assert await outcome(change) is TooMany


@pytest.mark.anyio
async def test_changes_and_deletions_of_one_network_are_limited(clock: ManualClock) -> None:
    """RL-4: thirty a minute, of however many accounts: each costs as much as a login or two."""
    core = bound(MemoryStore(), clock, CheapHasher(), limiter=MemoryLimiter(clock))
    people = [await join(core, f"p{number}") for number in range(7)]

    async def guess(number: int, ip: str) -> type[BaseException]:
        actor = replace(people[number % 7].actor, origin=Origin(ip))
        attempt = (
            core.accounts.delete_own(actor, password=WRONG)
            if number % 2
            else core.accounts.change_password(actor, current_password=WRONG, new_password=PASSWORD)
        )
        with pytest.raises((InvalidCredentials, TooMany)) as refusal:
            await attempt
        return refusal.type

    guessed = [await guess(number, "192.0.2.1") for number in range(32)]
    assert guessed == [InvalidCredentials] * 30 + [TooMany] * 2
    assert await guess(32, "192.0.2.2") is InvalidCredentials
    clock.advance(seconds=2)
    guessed = [await guess(number, "192.0.2.1") for number in (33, 34)]
    assert guessed == [InvalidCredentials, TooMany]


@pytest.mark.anyio
async def test_in_production_limits_are_the_databases(database_url: str) -> None:
    """RL-11: no setting chooses limits that hold in one process only."""
    settings = Settings(
        database_url=Secret(as_url(database_url)),
        secret_key=Secret("0123456789-abcdefghij-KLMNOPQRST"),
        data_dir=Settings.from_env({}).data_dir,
    )
    async with open_core(settings) as core:
        remembering = core.gate.limiter
        assert isinstance(remembering, RememberingDenials)  # only what the database has denied
        assert isinstance(remembering._limiter, PostgresLimiter)
    async with open_core(replace(settings, rate_limits=False)) as core:
        assert isinstance(core.gate.limiter, Unlimited)


def test_registrations_of_one_address_are_limited(site: Site) -> None:
    """RL-4: twenty a minute, failed ones included."""
    ip = fresh_ip()
    bodies = [{"email": stranger(), "password": PASSWORD}] * 2 + [{"email": "", "password": ""}]
    statuses: list[int] = []
    began = time.monotonic()
    while 429 not in statuses:
        n = len(statuses)
        answer = site.ask("POST", "/auth/register", bodies[n % 3], ip=ip, process=n % 2)
        statuses.append(answer.status)
    assert set(statuses) == {201, 409, 422, 429}
    keep_to(20, statuses, began)


def test_a_session_and_an_address_refresh_sixty_times_a_minute(site: Site, ada: Account) -> None:
    """RL-4: a bucket for each, so that a burst of tabs is served."""
    token = ada.refresh
    began = time.monotonic()
    statuses = at_once(lambda n: site.refresh(token, process=n % 2).status, 70)
    assert set(statuses) <= {200, 429}
    keep_to(60, statuses, began)
    ip, began = fresh_ip(), time.monotonic()
    unknown = at_once(lambda n: site.refresh("tcr_x", ip=ip, process=n % 2).status, 70)
    assert set(unknown) <= {401, 429}
    keep_to(60, unknown, began)


@pytest.mark.anyio
async def test_all_sessions_of_a_user_refresh_ten_thousand_times_a_day(
    clock: ManualClock, hasher: WatchedHasher
) -> None:
    """RL-4: so that an account never has too many used tokens to be deleted."""
    limiter = MemoryLimiter(clock)
    core = bound(MemoryStore(), clock, hasher, limiter=limiter)
    user = await core.accounts.register(email="ada@example.org", password=PASSWORD)
    grants = [
        await core.sessions.log_in(email="ada@example.org", password=PASSWORD) for _ in range(2)
    ]
    for _ in range(9_999):
        assert await limiter.acquire(Claim(REFRESH_ACCOUNT, str(user.id))) is None
    await core.sessions.refresh(refresh_token=grants[0].refresh_token)
    with pytest.raises(TooMany):
        await core.sessions.refresh(refresh_token=grants[1].refresh_token)
    clock.advance(seconds=9)
    await core.sessions.refresh(refresh_token=grants[1].refresh_token)


def test_who_holds_a_token_may_not_guess_the_password_with_it(site: Site, ada: Account) -> None:
    """RL-4: five a minute of a user, from wherever; ten where an account is to be deleted."""
    change = {"current_password": WRONG, "new_password": PASSWORD}
    paths = {"/auth/password": (change, 5), "/auth/delete-account": ({"password": WRONG}, 10)}
    for path, (body, quota) in paths.items():

        def guess(number: int, path: str = path, body: object = body) -> Answer:
            return site.ask("POST", path, body, token=ada.access, process=number % 2)

        began = time.monotonic()
        answers = at_once(guess, quota + 5)
        assert {answer.status for answer in answers} == {401, 429}
        keep_to(quota, (answer.status for answer in answers), began)
        told = {a.headers["ratelimit-policy"].partition(";")[2] for a in answers if a.status == 429}
        assert told == {f"q={quota};w=60"}
    assert site.me(ada.access) == 200


def test_a_process_repeats_a_denial_without_asking_the_database(site: Site, ada: Account) -> None:
    """RL-12: a flood of denied attempts costs no statement; each process remembers for itself."""
    change = {"current_password": WRONG, "new_password": PASSWORD}

    def guess(process: int) -> int:
        return site.ask("POST", "/auth/password", change, token=ada.access, process=process).status

    assert [guess(0) for _ in range(6)] == [401] * 5 + [429]
    site.sql("DELETE FROM rate_limits")
    assert guess(0) == 429
    assert guess(1) == 401


@pytest.mark.anyio
async def test_a_stolen_session_guesses_no_faster_than_a_login(clock: ManualClock) -> None:
    """RL-4: both ways to give the password again have one budget, twenty an hour."""
    async with cheap_argon2() as hasher:
        core = bound(MemoryStore(), clock, hasher, limiter=MemoryLimiter(clock))
        await core.accounts.register(email="ada@example.org", password=PASSWORD)
        grant = await core.sessions.log_in(email="ada@example.org", password=PASSWORD)
        actor = await core.sessions.authenticate(grant.access_token)
        outcomes: Counter[object] = Counter()
        for number in range(60):
            clock.advance(seconds=12)
            attempt = (
                core.accounts.delete_own(actor, password=WRONG)
                if number % 2
                else core.accounts.change_password(
                    actor, current_password=WRONG, new_password=PASSWORD
                )
            )
            (outcome,) = await asyncio.gather(attempt, return_exceptions=True)
            outcomes[type(outcome)] += 1
        assert outcomes[InvalidCredentials] == 20 + 60 * 12 // 180 - 1
