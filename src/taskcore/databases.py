"""Which database the settings name: the embedded one, or that of DATABASE_URL."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskcore.extras import needing
from taskcore.settings import Settings

if TYPE_CHECKING:
    from taskcore.adapters.embedded import EmbeddedPostgres


@dataclass
class ExternalDatabase(
    AbstractContextManager["ExternalDatabase"], AbstractAsyncContextManager["ExternalDatabase"]
):
    """The database of DATABASE_URL. Entering and leaving change nothing."""

    conninfo: str = field(repr=False)  # it may hold a password

    def __exit__(self, *_: object) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def database_of(settings: Settings) -> "EmbeddedPostgres | ExternalDatabase":
    """The database, to be entered, which starts or joins the embedded one."""
    if settings.database_url:
        return ExternalDatabase(settings.database_url.reveal())
    # Imported here: with DATABASE_URL set, the embedded PostgreSQL need not be installed.
    with needing("embedded"):
        from taskcore.adapters.embedded import EmbeddedPostgres  # noqa: PLC0415

    return EmbeddedPostgres(settings.data_dir)
