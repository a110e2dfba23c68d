"""Keeps schemathesis from removing the account it uses."""

import os
import secrets
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st

OWN_ID = os.environ["FUZZ_OWN_ID"]
REGISTER = os.environ["FUZZ_REGISTER"]

# The names are those of the IANA database: no schema can say which there are.
schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name a new account where the generated request could delete or demote the one in use.

    Every later request would get 401. Removing oneself is tested elsewhere.
    """
    del context, kwargs
    if str(case.path_parameters.get("user_id")) == OWN_ID and case.method in {"PATCH", "DELETE"}:
        case.path_parameters["user_id"] = httpx.post(REGISTER, json=_registration()).json()["id"]


def _registration() -> dict[str, str]:
    return {
        "email": f"{secrets.token_hex(8)}@fuzz.example.org",
        "password": secrets.token_urlsafe(),
    }
