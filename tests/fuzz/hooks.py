"""What schemathesis must not do: saw off the branch on which it sits."""

import os
from typing import Any

import schemathesis

OWN_ID = os.environ["FUZZ_OWN_ID"]
NOBODY = 2**62


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Whoever deletes or demotes the account that asks gets 401 from then on, and tests nothing.

    That the account may do this to itself is tested elsewhere.
    """
    del context, kwargs
    if str(case.path_parameters.get("user_id")) == OWN_ID and case.method in {"PATCH", "DELETE"}:
        case.path_parameters["user_id"] = NOBODY
