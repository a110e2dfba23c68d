"""The bounds in docs/security.md, of what a process remembers, are those of the code."""

import re

from taskapi import capacity, client_connections, parameters
from taskapi.body_limits import LARGEST_BODY, MAX_BODY_BYTES
from taskapi.telemetry import errors
from taskcore import lanes
from taskcore.adapters import denials, hashing, jwt
from taskcore.adapters.postgres import task_lists
from taskcore.domain import search
from taskcore.usecases import change_followers
from tests.security.claims import DOCUMENT, ROOT

MIB = 2**20
BOUNDS: dict[str, list[float]] = {
    "requests that are served or wait for a turn": [
        capacity.IN_FLIGHT,
        client_connections.PER_CLIENT,
    ],
    "requests whose body arrives": [
        capacity.IN_FLIGHT * capacity._WAITING,
        MAX_BODY_BYTES // 1024,
    ],
    "bulks of more than 64 KiB": [
        capacity._LARGE // MIB,
        capacity._LARGE_TOGETHER // MIB,
        capacity._LARGE_OF_ONE // MIB,
    ],
    "ports of a client": [capacity._WINDOW],
    "denials of rate limits": [denials.MAX_DENIALS],
    "streams of changes": [
        change_followers.MAX_FOLLOWERS,
        change_followers.PER_USER,
        client_connections.PER_CLIENT,
        capacity._PER_SITE,
    ],
    "users in the lane": [lanes.MAX_WAITING, lanes.MAX_WAITING_OF_ONE],
    "users whose statements were slow": [lanes.MAX_REMEMBERED],
    "passwords that wait": [hashing.QUEUE, hashing.WAIT],
    "clients whose passwords": [lanes.MAX_REMEMBERED],
    "changes of a user": [lanes.MAX_WAITING, lanes.MAX_WAITING_OF_ONE],
    "statements for lists": [task_lists.MAX_STATEMENTS],
    "access tokens": [jwt._CACHED],
    "addresses and networks": [search._MAX_REMEMBERED],
    "queries and paths": [parameters._KEPT_QUERIES],
    "spans and error reports": [errors._PER_SECOND],
}


def rows() -> list[list[str]]:
    section = DOCUMENT.read_text().split("## What a process remembers")[1].split("\n## ")[0]
    return [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]


def test_each_bound_is_a_number_of_the_code() -> None:
    assert LARGEST_BODY == MIB
    for what, numbers in BOUNDS.items():
        (bound,) = [row[2] for row in rows() if row[0].strip().startswith(what)]
        # A blank separates thousands.
        written = re.findall(r"\d[\d.]*", re.sub(r"(?<=\d) (?=\d{3}\b)", "", bound))
        assert [f"{number:g}" for number in numbers if f"{number:g}" not in written] == [], what


def test_each_file_of_the_table_exists() -> None:
    for path in re.findall(r"`([a-z_/0-9]+(?:\.py|/))`", " ".join(row[1] for row in rows())):
        assert list((ROOT / "src").rglob(f"**/{path}")), path
