"""What use cases return holds no secret, in whatever way a caller writes it out."""

import inspect
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, fields, is_dataclass
from pprint import pformat
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from taskcore import SYSTEM, Core, Grant, OneTimePassword
from taskcore.ports import Store
from tests.canaries import leaks
from tests.factories import PASSWORD
from tests.guards import agree
from tests.usecases.people import address, hash_of, join

# A login, a refresh and a one-time password are asked for nothing else, and what labels are sorted
# by is no secret.
MEANT = {
    *("Grant.access_token", "Grant.refresh_token", "OneTimePassword.password"),
    "LabelCount.key",
}
SUSPECT = ("password", "hash", "secret", "token", "digest", "nonce", "key", "signature")
WAYS: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "pformat": pformat,
    "asdict": lambda result: repr(asdict(result)),
    "astuple": lambda result: repr(astuple(result)),
    "attributes": lambda result: repr([getattr(result, name) for name in dir(result)]),
    "json": lambda result: json.dumps(asdict(result), default=str),
    "msgspec": lambda result: msgspec.json.encode(result).decode(),
    "pickle": lambda result: pickle.dumps(result).decode("latin-1"),
}


def use_cases() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public one, as `accounts.register`."""
    for noun, kind in get_type_hints(Core).items():
        if kind.__module__.startswith("taskcore.usecases") and noun != "gate":
            for name, method in inspect.getmembers(kind, inspect.isfunction):
                if not name.startswith("_"):
                    yield f"{noun}.{name}", method


def dataclasses_in(hint: Any) -> set[type]:
    """Those that a value of this type may consist of."""
    kind = get_origin(hint) or hint
    found = {part for argument in get_args(hint) for part in dataclasses_in(argument)}
    if inspect.isclass(kind) and is_dataclass(kind):
        found |= {kind}
        for field in get_type_hints(kind).values():
            found |= dataclasses_in(field)
    return found


def test_no_use_case_returns_a_type_with_a_field_for_a_secret() -> None:
    """PW-10: the result of every use case, but a Grant and a new one-time password."""
    returned: set[type] = set()
    for name, method in use_cases():
        parts = dataclasses_in(get_type_hints(method)["return"])
        returned |= parts
        assert Grant not in parts or name in {"sessions.log_in", "sessions.refresh"}
        assert OneTimePassword not in parts or name == "accounts.set_one_time_password"
    names = {kind.__name__ for kind in returned}
    assert names >= {"User", "Task", "Session", "AuditEvent", "Page", "Actor", "Origin", "Grant"}
    secret = {
        f"{kind.__name__}.{field.name}"
        for kind in returned
        for field in fields(kind)
        if any(word in field.name for word in SUSPECT)
    }
    agree(secret, MEANT, "MEANT in tests/usecases/test_results.py", "keep it behind the ports")


@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_a_result_reveals_nothing_however_it_is_written_out(
    core: Core, store: Store, way: str
) -> None:
    """PW-10: by asdict, msgspec, pickle, repr and the like: no hash, token, digest or key."""
    registered = await core.accounts.register(email=address("bob"), password=PASSWORD)
    root = await join(core, "root")
    task = await core.tasks.create(root.actor, title="x")
    written = WAYS[way]
    results: list[Any] = [
        registered,
        root.user,
        root.actor,
        root.grant.user,
        task,
        await core.accounts.me(root.actor),
        await core.accounts.change_profile(root.actor, full_name="Root"),
        await core.accounts.get(SYSTEM, root.user.id),
        await core.accounts.find(SYSTEM, root.user.email),
        await core.accounts.change(SYSTEM, root.user.id, full_name="R."),
        *(await core.accounts.page(SYSTEM)).items,
        await core.sessions.unlock(SYSTEM, root.user.id),
        *await core.sessions.own(root.actor),
        *(await core.audit.page(SYSTEM)).items,
        (await core.sessions.refresh(refresh_token=root.grant.refresh_token)).user,
    ]
    text = "\n".join(str(written(result)) for result in results)
    assert address("bob") in text, "what is searched must hold the account"
    assert leaks(text) == []
    for user in (registered, root.user):
        assert await hash_of(store, user.id) not in text
    grant = str(repr(root.grant))
    assert not any(token in grant for token in (root.grant.access_token, root.grant.refresh_token))
