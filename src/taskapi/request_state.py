"""What the edge knows about a request, for the rest of the API."""

from collections.abc import Mapping
from dataclasses import dataclass

from litestar.types import Scope

from taskcore import Actor

_KEY = "taskapi"


@dataclass(slots=True)
class RequestState:
    request_id: str
    client: str | None  # the IP address
    headers: Mapping[bytes, bytes]  # those in `exchange.HEADERS_READ`
    actor: Actor | None = None  # set by `providers.logged_in`

    def header(self, name: bytes) -> str | None:
        """Repeated headers come as one list. Litestar's own dictionary takes longer to build."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def attach(self, scope: Scope) -> None:
        scope["state"][_KEY] = self


def request_state(scope: Scope) -> RequestState:
    state: RequestState = scope["state"][_KEY]
    return state
