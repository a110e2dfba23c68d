"""What schemathesis must not do: saw off the branch on which it sits."""

import os
import secrets
from typing import Any

import httpx
import schemathesis

OWN_ID = os.environ["FUZZ_OWN_ID"]
REGISTER = os.environ["FUZZ_REGISTER"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Whoever deletes or demotes the account that asks gets 401 from then on, and tests nothing.

    Somebody new takes its place. That accounts may do this to themselves is tested elsewhere.
    """
    del context, kwargs
    if str(case.path_parameters.get("user_id")) == OWN_ID and case.method in {"PATCH", "DELETE"}:
        case.path_parameters["user_id"] = httpx.post(REGISTER, json=_somebody()).json()["id"]


def _somebody() -> dict[str, str]:
    return {
        "email": f"{secrets.token_hex(8)}@fuzz.example.org",
        "password": secrets.token_urlsafe(),
    }
