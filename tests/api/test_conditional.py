"""If-Match and If-None-Match (RFC 9110 section 13) on a task."""

import time

import pytest

from tests.api.people import MISSING_ID, V1, Person, broken, refused

# On one store only: tests/contracts has what a store does about versions.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store", ["memory"], indirect=True),
]


# With the task at version 3.
MATCHING = ['"3"', "*", " * ", '"3", "2"', '"x","3"', '"2" ,\t"3" , "9"', ' "3" ', '"a,b", "3"',
            ',,"3",', 'W/"3", "3"', '"3-gzip"', '"2-gzip", "3-zstd"', '"3-br"']  # fmt: skip
STALE = ['"2"', '"4"', '"2", "4"', '""', '"03"', '"3.0"', '"9223372036854775808"',
         '"' + "9" * 5000 + '"', '"x"', '"*"', '"\u0663"', '"2-gzip"', '"3-x"',
         '"3-gzip-gzip"']  # fmt: skip
MALFORMED = ["", " ", ",", "3", "'3'", '"3', '3"', 'x"3"', '"3"x', '"3" "4"', '" 3"', 'w/"3"',
             'W/ "3"', 'W/"3', "**", '*, "3"', '"3", 4', "\xff", "null"]  # fmt: skip


MANY = ", ".join(f'"{number}"' for number in range(1000, 1099))


async def test_a_condition_has_at_most_a_hundred_tags(ada: Person) -> None:
    path = await at_version_three(ada)
    assert await write(ada, "PUT", path, f'{MANY}, "x", "3"', "4") == 400
    assert await write(ada, "PUT", path, f'{MANY}, "3"', "4") == 200


async def at_version_three(person: Person) -> str:
    path = f"/tasks/{(await person.task('1'))['id']}"
    for title in ("2", "3"):
        assert (await person.put(path, {"title": title})).is_success
    return path


async def write(person: Person, method: str, path: str, if_match: str, title: str) -> int:
    body = None if method == "DELETE" else {"title": title}
    answer = await person.ask(method, path, body, headers={"If-Match": if_match})
    if answer.status_code == 412:
        refused(answer, 412, "stale_write")
    if answer.status_code == 400:
        assert 'such as If-Match: "2"' in refused(answer, 400, "malformed_request")["detail"]
    return answer.status_code


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_write_succeeds_if_the_version_matches(ada: Person, method: str) -> None:
    for if_match in MATCHING:
        path = await at_version_three(ada)
        assert await write(ada, method, path, if_match, "4") == 200, if_match
        assert (await ada.get(path)).json()["version"] == 4


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_write_on_any_other_version_changes_nothing(ada: Person, method: str) -> None:
    path = await at_version_three(ada)
    before = (await ada.get(path)).json()
    # Weak tags never match: section 13.1.1 requires the strong comparison.
    for if_match in [*STALE, 'W/"3"', 'W/"3", "2"']:
        assert await write(ada, method, path, if_match, "4") == 412, if_match
    assert (await ada.get(path)).json() == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_write_on_a_malformed_condition_is_refused(ada: Person, method: str) -> None:
    path = await at_version_three(ada)
    body = None if method == "DELETE" else {"title": "4"}
    for condition in MALFORMED:
        for name in ("If-Match", "If-None-Match"):
            answer = await ada.ask(method, path, body, headers={name: condition})
            detail = refused(answer, 400, "malformed_request")["detail"]
            assert f'such as {name}: "2"' in detail, condition
    assert (await ada.get(path)).json()["version"] == 3


@pytest.mark.parametrize("tags", ['W/"3"', 'W/"3", W/"2"', '"x"', '"03"', 'W/"3-gzip", "x-br"'])
async def test_tags_that_no_version_has_are_told_from_a_change(ada: Person, tags: str) -> None:
    """To read the task again would give the client the same tag again."""
    path = await at_version_three(ada)
    for method, there, body in (
        ("PUT", path, {"title": "4"}),
        ("PATCH", path, {"title": "4"}),
        ("DELETE", path, None),
        ("POST", f"{path}/revert", {"version": 1}),
    ):
        answer = await ada.ask(method, there, body, headers={"If-Match": tags})
        detail = refused(answer, 412, "stale_write")["detail"]
        assert "`version` in quotes" in detail
        assert "again" not in detail
    changed = await ada.put(path, {"title": "4"}, if_match=f'"2", {tags}')
    assert "read it again" in refused(changed, 412, "stale_write")["detail"]


async def test_a_refusal_says_which_version_the_task_has(ada: Person) -> None:
    path = await at_version_three(ada)
    operation = {"op": "delete", "id": int(path.rpartition("/")[2]), "version": 2}
    said = "The task has version 3 now; read it again and repeat your change"
    for method, there, body in (
        ("PATCH", path, {"title": "4"}),
        ("DELETE", path, None),
        ("POST", f"{path}/revert", {"version": 1}),
        ("POST", "/tasks/bulk", {"operations": [operation]}),
    ):
        for tags in ('"2"', '"2", "4"'):
            answer = await ada.ask(method, there, body, headers={"If-Match": tags})
            assert refused(answer, 412, "stale_write")["detail"] == said


@pytest.mark.parametrize("tag", ['"2"', 'W/"3"', '"x"', '"2", "4"'])
async def test_a_body_that_breaks_a_rule_is_told_before_a_condition(ada: Person, tag: str) -> None:
    path = await at_version_three(ada)
    for where, value in (
        *(("title", ""), ("title", None), ("description", "x" * 5001), ("time_zone", "Nowhere")),
        *(("labels/1", ["a", "A"]), ("due_at", "2026-12-01T09:00:00"), ("status", "gone")),
    ):
        for ask in (ada.put, ada.patch):
            answer = await ask(path, {where.partition("/")[0]: value}, if_match=tag)
            broken(answer, f"/{where}")
    broken(await ada.put(path, {"title": ""}, if_none_match="*"), "/title")
    refused(await ada.put(path, {"title": "4"}, if_match=tag), 412, "stale_write")
    operation = {"op": "update", "id": int(path.rpartition("/")[2]), "version": 2}
    bulk = {"operations": [operation | {"changes": {"title": ""}}]}
    broken(await ada.post("/tasks/bulk", bulk), "/operations/0/changes/title")


async def test_a_deletion_succeeds_if_the_version_matches(ada: Person) -> None:
    for if_match in MATCHING:
        path = await at_version_three(ada)
        assert await write(ada, "DELETE", path, if_match, "") == 204, if_match
        refused(await ada.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_missing_task_is_404_whatever_the_tag(
    ada: Person, bob: Person, method: str
) -> None:
    other = await at_version_three(bob)
    for path in (f"/tasks/{MISSING_ID}", other):
        for if_match in ("*", '"3"', '"2", "3"', 'W/"3"'):
            assert await write(ada, method, path, if_match, "x") == 404, if_match


async def test_an_edit_that_changes_nothing_still_needs_the_right_version(ada: Person) -> None:
    path = await at_version_three(ada)
    refused(await ada.put(path, {"title": "3"}, if_match='"2"'), 412, "stale_write")
    assert (await ada.put(path, {"title": "3"}, if_match='"3"')).headers["etag"] == '"3"'


async def test_of_two_writes_on_one_version_the_second_is_stale(ada: Person, root: Person) -> None:
    path = await at_version_three(ada)
    assert (await ada.put(path, {"title": "mine"}, if_match='"3"')).status_code == 200
    refused(await root.put(path, {"title": "other"}, if_match='"3"'), 412, "stale_write")
    assert (await ada.get(path)).json()["title"] == "mine"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_if_none_match_refuses_a_write_to_an_existing_task(ada: Person, method: str) -> None:
    path = await at_version_three(ada)
    body = None if method == "DELETE" else {"title": "4"}
    for headers in (
        {"If-None-Match": "*"},
        {"If-None-Match": '"3"'},
        {"If-None-Match": '"2", W/"3"', "If-Match": '"3"'},
        {"If-None-Match": '"2"', "If-Match": '"2"'},
    ):
        refused(await ada.ask(method, path, body, headers=headers), 412, "stale_write")
    assert (await ada.get(path)).json()["version"] == 3
    headers = {"If-None-Match": '"2"', "If-Match": '"3", "4"'}
    assert (await ada.ask(method, path, body, headers=headers)).is_success
    headers = {"If-None-Match": "*"}
    refused(await ada.ask(method, f"/tasks/{MISSING_ID}", body, headers=headers), 404, "not_found")


async def test_a_version_that_the_client_has_is_not_sent_again(ada: Person) -> None:
    path = await at_version_three(ada)
    for if_none_match in [*MATCHING, 'W/"3"', '"x", W/"3"']:
        answer = await ada.get(path, if_none_match=if_none_match)
        assert answer.status_code == 304, if_none_match
        assert answer.headers["etag"] == '"3"'
        assert "content-type" not in answer.headers
    for if_none_match in [*STALE[:-1], *MALFORMED, 'W/"2"']:
        answer = await ada.get(path, if_none_match=if_none_match)
        assert answer.status_code == 200, if_none_match
        assert answer.json()["version"] == 3


async def test_a_task_of_another_user_is_404_and_never_304(ada: Person, bob: Person) -> None:
    path = await at_version_three(bob)
    for tag in ("*", '"3"'):
        refused(await ada.get(path, if_none_match=tag), 404, "not_found")


@pytest.mark.parametrize("condition", [b"\xa0*", b"*\x85", b'\xa0"3"', b'"3"\x85'])
async def test_only_spaces_and_tabs_may_surround_a_condition(ada: Person, condition: bytes) -> None:
    """Sent as bytes: in UTF-8 each would be two, one of which Python strips as a blank."""
    there = V1 + await at_version_three(ada)
    bearer = (b"Authorization", f"Bearer {ada.token}".encode())
    only_if = [bearer, (b"If-Match", condition)]
    answer = await ada.http.put(there, json={"title": "4"}, headers=only_if)
    refused(answer, 400, "malformed_request")
    unless = [bearer, (b"If-None-Match", condition)]
    assert (await ada.http.get(there, headers=unless)).status_code == 200


@pytest.mark.parametrize("tags", [('"2"', '"3"'), ('"3"', '"2"')])
async def test_several_lines_of_a_condition_are_one_list(
    ada: Person, tags: tuple[str, ...]
) -> None:
    """RFC 9110 section 5.3."""
    there = V1 + await at_version_three(ada)
    bearer = ("Authorization", f"Bearer {ada.token}")
    unless = [("If-None-Match", tag) for tag in tags]
    assert (await ada.http.get(there, headers=[bearer, *unless])).status_code == 304
    only_if = [("If-Match", tag) for tag in tags]
    answer = await ada.http.put(there, json={"title": "4"}, headers=[bearer, *only_if])
    assert answer.status_code == 200
    answer = await ada.http.put(there, json={"title": "5"}, headers=[bearer, *only_if])
    refused(answer, 412, "stale_write")


@pytest.mark.parametrize("filling", [" ", '"', ",", '"a" ', 'W/"'])
async def test_a_long_condition_is_parsed_quickly(ada: Person, filling: str) -> None:
    path = await at_version_three(ada)
    header = f'"x"{filling * (15_000 // len(filling))}x'
    before = time.process_time()
    assert (await ada.get(path, if_none_match=header)).status_code == 200
    assert (await ada.put(path, {"title": "4"}, if_match=header)).status_code == 400
    assert time.process_time() - before < 0.5
