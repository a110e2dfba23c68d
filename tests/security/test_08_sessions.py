"""Refresh tokens and sessions, over two server processes: rows RT of docs/security.md."""

import base64
import hashlib
import json
import re

from tests.security.site import PASSWORD, V1, Account, Site, at_once, fresh_ip


def test_the_database_holds_no_refresh_token(site: Site, ada: Account) -> None:
    """RT-1: opaque, 256 bits, and only its SHA-256 is kept."""
    assert re.fullmatch(r"tcr_[A-Za-z0-9_-]{43}", ada.refresh)
    raw = base64.urlsafe_b64decode(ada.refresh[4:] + "=")
    assert len(raw) == 32
    dump = site.dump()
    assert hashlib.sha256(ada.refresh.encode()).hexdigest() in dump
    for spelling in (ada.refresh, ada.refresh[4:], raw.hex(), base64.b64encode(raw).decode()):
        assert spelling not in dump
    assert ada.access not in dump


def test_a_refresh_brings_another_token(site: Site, ada: Account) -> None:
    """RT-2: each use rotates."""
    second = site.refresh(ada.refresh).json["refresh_token"]
    third = site.refresh(second, process=1).json["refresh_token"]
    assert len({ada.refresh, second, third}) == 3
    assert site.refresh(ada.refresh, process=1).status == 401


def test_a_replay_ends_the_session_for_good_and_everywhere(site: Site, ada: Account) -> None:
    """RT-3, RT-4: the response is 401, the end is committed, and access tokens are refused."""
    second = site.refresh(ada.refresh).json
    third = site.refresh(second["refresh_token"], process=1).json
    assert site.me(third["access_token"]) == 200
    assert site.refresh(ada.refresh).status == 401
    assert site.sql("SELECT 1 FROM sessions WHERE user_id = %s", ada.id) == []
    assert site.refresh(third["refresh_token"], process=1).status == 401
    for process in (0, 1):
        for token in (ada.access, second["access_token"], third["access_token"]):
            assert site.me(token, process=process) == 401
    assert site.events(ada.id)[-1] == "session.reuse_detected"


def test_forty_tabs_on_two_processes_get_one_successor(site: Site, ada: Account) -> None:
    """RT-5: all who refresh at once get the same successor, and none of them is logged out."""
    answers = at_once(lambda n: site.refresh(ada.refresh, ip=ada.ip, process=n % 2), 40)
    assert [answer.status for answer in answers] == [200] * 40
    (successor,) = {answer.json["refresh_token"] for answer in answers}
    assert {site.me(answer.json["access_token"]) for answer in answers} == {200}
    tokens = site.sql(
        "SELECT session_id, used_at IS NULL FROM refresh_tokens"
        " WHERE session_id IN (SELECT id FROM sessions WHERE user_id = %s)",
        ada.id,
    )
    assert len({session_id for session_id, _ in tokens}) == 1
    assert sorted(is_unused for _, is_unused in tokens) == [False, True]
    assert site.refresh(successor).status == 200


def test_only_the_direct_predecessor_may_be_retried(site: Site, ada: Account) -> None:
    """RT-5: ten seconds for the token before, none for the one before that."""
    second = site.refresh(ada.refresh).json["refresh_token"]
    assert site.refresh(ada.refresh, process=1).json["refresh_token"] == second
    site.refresh(second)
    assert site.refresh(ada.refresh).status == 401  # the grandparent, within its ten seconds
    assert site.refresh(second).status == 401

    bob = site.join()
    site.refresh(bob.refresh)
    site.sql(
        "UPDATE refresh_tokens SET used_at = used_at - interval '11 s' WHERE used_at IS NOT NULL"
        " AND session_id IN (SELECT id FROM sessions WHERE user_id = %s)",
        bob.id,
    )
    assert site.refresh(bob.refresh).status == 401
    assert site.events(bob.id)[-1] == "session.reuse_detected"


def test_concurrent_changes_during_a_refresh_cause_no_error(site: Site, root: Account) -> None:
    """RT-6: refresh, log-out, deactivation and deletion at once; waits are short."""

    def meddle(number: int) -> int:
        process = number % 2
        match number % 5:
            case 0 | 1:
                return site.refresh(eve.refresh, process=process).status
            case 2:
                return site.ask("POST", "/auth/logout", token=eve.access, process=process).status
            case 3:
                change = {"is_active": bool(number % 4)}
                there = f"/users/{eve.id}"
                return site.ask("PATCH", there, change, token=root.access, process=process).status
            case _:
                there = f"/users/{eve.id}/sessions"
                return site.ask("DELETE", there, token=root.access, process=process).status

    for _ in range(6):
        eve = site.join()
        statuses = at_once(meddle, 15)
        assert set(statuses) <= {200, 204, 401}, statuses
        gone = site.ask("DELETE", f"/users/{eve.id}", token=root.access)
        assert gone.status == 204


def test_a_session_ends_a_week_after_its_last_use_and_after_thirty_days(
    site: Site, ada: Account
) -> None:
    """RT-7: the end moves with each use, and never beyond thirty days."""
    ends = "SELECT expires_at - last_used_at, expires_at - created_at FROM sessions"
    ((idle, whole),) = site.sql(f"{ends} WHERE user_id = %s", ada.id)
    assert (idle.days, whole.days) == (7, 7)
    site.sql(
        "UPDATE sessions SET created_at = created_at - interval '25 days',"
        " last_used_at = last_used_at - interval '6 days' WHERE user_id = %s",
        ada.id,
    )
    assert site.refresh(ada.refresh).status == 200
    ((idle, whole),) = site.sql(f"{ends} WHERE user_id = %s", ada.id)
    assert (idle.days, whole.days) == (4 if idle.seconds else 5, 30)
    site.sql(
        "UPDATE sessions SET expires_at = now() WHERE user_id = %s",
        ada.id,
    )
    assert site.me(ada.access) == 401


def test_a_refresh_reads_the_account_anew(site: Site, ada: Account, root: Account) -> None:
    """RT-8: a deactivated user refreshes nothing, and a new role shows at once."""
    made = site.ask("PATCH", f"/users/{ada.id}", {"role": "admin"}, token=root.access)
    assert made.status == 200
    answer = site.refresh(ada.refresh, process=1).json
    assert answer["user"]["role"] == "admin"
    site.ask("PATCH", f"/users/{ada.id}", {"is_active": False}, token=root.access)
    assert site.refresh(answer["refresh_token"], process=1).status == 401


def test_no_credential_is_taken_for_another_kind(site: Site, ada: Account) -> None:
    """RT-9: an access token refreshes nothing, a refresh token opens nothing."""
    for token in (ada.access, "", "tcr_", PASSWORD, ada.refresh[4:], ada.refresh + "="):
        assert site.refresh(token).status == 401
    for method, path in (("GET", "/auth/me"), ("POST", "/auth/logout"), ("GET", "/tasks")):
        assert site.ask(method, path, token=ada.refresh).status == 401
    assert site.me(ada.access) == 200


def test_logging_out_counts_at_once_on_every_process(site: Site, ada: Account) -> None:
    """RT-10: refresh and access token stop; another session goes on."""
    elsewhere = site.log_in(ada.email).json
    assert site.ask("POST", "/auth/logout", token=ada.access).status == 204
    assert site.me(ada.access, process=1) == 401
    assert site.refresh(ada.refresh, process=1).status == 401
    assert site.ask("POST", "/auth/logout", token=ada.access, process=1).status == 401
    assert site.me(elsewhere["access_token"], process=1) == 200


def test_streams_end_with_the_session_on_every_process(
    site: Site, ada: Account, bob: Account, root: Account
) -> None:
    """RT-10: a stream of changes ends with it, also when the account is deactivated."""
    one, other = site.apis
    ends = (
        (ada, "POST", "/auth/logout", None, ada),
        (bob, "PATCH", f"/users/{bob.id}", {"is_active": False}, root),
    )
    for person, method, path, body, by in ends:
        with one.stream(person.access) as here, other.stream(person.access) as there:
            assert site.ask(method, path, body, token=by.access).status in {200, 204}
            assert here.read().strip() == there.read().strip() == b""


def test_people_see_their_sessions_and_end_them(site: Site, ada: Account, bob: Account) -> None:
    """RT-11: list, end one, end all; never a token, never another user's session."""
    ip, agent = fresh_ip(), "Browser/1.0 " + "x" * 300
    other = site.log_in(ada.email, ip=ip, headers={"User-Agent": agent}).json
    answer = site.ask("GET", "/auth/sessions", token=ada.access, process=1)
    items = answer.json["items"]
    assert [item["current"] for item in items] == [False, True]
    assert (items[0]["ip"], items[0]["user_agent"]) == (ip, agent[:255])
    assert items[1]["ip"] == ada.ip
    fields = {"id", "created_at", "last_used_at", "expires_at", "ip", "user_agent", "current"}
    assert all(set(item) == fields for item in items)
    assert b"tcr_" not in answer.body

    there = f"/auth/sessions/{items[0]['id']}"
    stranger = site.ask("DELETE", there, token=bob.access)
    missing = site.ask("DELETE", there[:-12] + "0" * 12, token=bob.access)
    assert (stranger.status, missing.status) == (404, 404)
    assert site.me(other["access_token"]) == 200
    assert site.ask("DELETE", there, token=ada.access).status == 204
    assert site.me(other["access_token"], process=1) == 401
    assert site.ask("DELETE", there, token=ada.access).status == 404
    for spelling in (there.upper().replace("/AUTH/SESSIONS", "/auth/sessions"), f"{there}0"):
        assert site.ask("DELETE", spelling, token=ada.access).status == 404

    again = site.log_in(ada.email).json
    assert site.ask("POST", "/auth/logout-all", token=again["access_token"]).status == 204
    for token in (ada.access, again["access_token"]):
        assert site.me(token, process=1) == 401
    assert site.me(bob.access) == 200


def test_administrators_and_operators_end_sessions(site: Site, root: Account) -> None:
    """RT-12: one user's over HTTP; one, one user's or everybody's at the terminal."""
    ada, bob = site.join(), site.join()
    ended = site.ask("DELETE", f"/users/{ada.id}/sessions", token=root.access)
    assert ended.status == 204
    assert site.me(ada.access, process=1) == 401
    assert site.me(bob.access) == 200
    assert site.ask("DELETE", f"/users/{2**62}/sessions", token=root.access).status == 404
    assert site.ask("DELETE", f"/users/{bob.id}/sessions", token=bob.access).status == 403

    listed = site.taskcli("sessions", "list", "--user", bob.email, "--json")
    (session,) = json.loads(listed)["items"]
    assert (session["ip"], session["user_id"]) == (bob.ip, bob.id)
    assert bob.ip in site.taskcli("sessions", "list", "--user", bob.email)
    site.taskcli("sessions", "revoke", "--user", bob.email, "--yes")
    assert site.me(bob.access, process=1) == 401
    assert site.me(root.access) == 200


def test_each_login_opens_a_new_session_and_there_are_at_most_fifty(site: Site) -> None:
    """RT-13: each login makes a new id; with the fifty-first the oldest goes."""
    ada = site.join()
    grants = [site.log_in(ada.email).json for _ in range(50)]
    ids = site.sql("SELECT id FROM sessions WHERE user_id = %s", ada.id)
    assert len(set(ids)) == 50
    assert site.me(ada.access) == 401
    assert site.me(grants[0]["access_token"]) == 200


def test_refreshes_do_not_use_up_logins(site: Site, ada: Account) -> None:
    """RT-14: buckets of their own."""
    token = ada.refresh
    for _ in range(30):
        token = site.refresh(token, ip=ada.ip).json["refresh_token"]
    for _ in range(8):
        assert site.log_in(ada.email, ip=ada.ip).status == 200


def test_tokens_travel_in_bodies_and_one_header_alone(site: Site, ada: Account) -> None:
    """RT-16: no cookie is set, none is read, and no token is taken from a URL."""
    for answer in (site.log_in(ada.email), site.refresh(ada.refresh)):
        assert answer.status == 200
        assert "set-cookie" not in answer.headers
    for where in (f"?access_token={ada.access}", f"?token={ada.access}"):
        assert site.ask("GET", f"/auth/me{where}").status == 401
    cookie = {"Cookie": f"access_token={ada.access}; session={ada.refresh}"}
    answer = site.apis[0].call("GET", f"{V1}/auth/me", headers=cookie)
    assert answer.status == 401
