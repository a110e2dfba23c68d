"""The settings, from the variables that `environment` reads. All problems are reported together.

Rate limits are no settings: `domain/rate_limits.py`.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from taskcore.domain.errors import Misconfigured
from taskcore.domain.events import EVENTS_LIFETIME, LEAST_EVENTS_DAYS
from taskcore.domain.sessions import SESSION_LIFETIME
from taskcore.domain.tasks import MAX_TASKS
from taskcore.domain.trash import TRASH_LIFETIME
from taskcore.environment import default_data_dir, environment, is_not_utf_8, placed
from taskcore.networks import IPNetwork, host, is_loopback, listening, network, origin
from taskcore.prefixes import own_variables, spelled
from taskcore.secret import Secret as Secret  # noqa: PLC0414 - others import it from here

MIN_KEY_BYTES = 32  # RFC 7518 section 3.2: an HS256 key is at least as long as its hash
_LOG_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
_MILLISECOND, _SECOND = timedelta(milliseconds=1), timedelta(seconds=1)
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_MIN_KEY_CHARACTERS = 8  # different ones; 64 random hexadecimal digits have about 16
# Keys printed in documents and templates. They are public, so anyone could forge tokens with them.
_PLACEHOLDER = re.compile(
    r"your[-_]|change.?(this|me|it)|change.*production|^(super.?)?secret|example|placeholder"
    r"|replace.?(this|me|with)|insecure|256-bits-long|512-bits-long"
    # The tutorial of FastAPI.
    r"|^09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7$"
)
UNUSED = Path(os.devnull, "taskcore")


@dataclass(frozen=True)
class Settings:
    """What a core, the server and the commands are set up with."""

    database_url: Secret | None
    """None: an embedded PostgreSQL runs in `data_dir`."""
    secret_key: Secret | None
    """None, with the embedded database only: a random key is generated into `data_dir`."""
    data_dir: Path
    """UNUSED where DATABASE_URL is set and DATA_DIR is not."""
    database_pooler: bool = False  # DATABASE_URL leads to one, which lends for a transaction
    database_pool_size: int = 10  # connections of each process
    database_read_url: Secret | None = None  # of a replica, for what may be some seconds old
    algorithm: str = "HS256"
    access_token_lifetime: timedelta = timedelta(minutes=30)
    refresh_token_lifetime: timedelta = timedelta(days=7)
    app_name: str = "Task Management API"
    app_version: str = "1.0.0"
    debug: bool = False
    cors_origins: tuple[str, ...] = ("http://localhost:3000",)
    cors_headers: tuple[str, ...] = ()  # that pages may send besides those that the API reads
    server_host: str = "127.0.0.1"
    server_port: int = 8000
    workers: int = 1
    drain: timedelta = timedelta(0)  # between SIGTERM and the stop, so that proxies notice
    metrics_address: str | None = None  # `host:port`
    otlp_endpoint: str | None = None
    """Where a server sends traces, by OpenTelemetry's variables, which its SDK reads itself."""
    sentry_dsn: Secret | None = None  # where it sends unexpected errors
    log_level: str = "INFO"
    log_format: str | None = None
    """None: `console` on a terminal, else `json`."""
    old_secret_keys: tuple[Secret, ...] = ()
    """Keys that still verify the tokens they signed, and sign no new ones."""
    rate_limits: bool = True
    trusted_proxies: tuple[IPNetwork, ...] = ()
    """Forwarding headers are believed only from these addresses."""
    allowed_hosts: tuple[str, ...] = ()
    """The accepted Host headers; empty: all."""
    docs: bool = True
    login_failure_floor: timedelta = timedelta(0)
    max_tasks: int = MAX_TASKS
    """How many tasks an account may hold, those in its trash included."""
    trash_lifetime: timedelta = TRASH_LIFETIME
    """How long a deleted task can be restored."""
    events_lifetime: timedelta = EVENTS_LIFETIME
    """How long the history of tasks reaches back."""
    acts_as: str | None = None
    """The user as whom `taskcli tasks` acts without `--as`: an e-mail address or an id."""
    warnings: tuple[str, ...] = ()
    """Problems that do not prevent a start."""

    @classmethod
    def load(cls, folder: Path | None = None, *, keyless: bool = False) -> Self:
        """Read the process's environment and the `.env` of the working directory.

        The real environment wins. `keyless` as in `from_env`. Raises Misconfigured.
        """
        return cls.from_env(environment(folder), keyless=keyless)

    @classmethod
    def from_env(
        cls, env: Mapping[str, str], *, prefix: str | None = None, keyless: bool = False
    ) -> Self:
        """The names of `prefix` alone, without one as `own_variables`.

        `keyless`: for work that signs and verifies nothing, SECRET_KEY may be absent. Raises
        Misconfigured, with every bad variable by name and never a value.
        """
        read = _Reader(own_variables(env, prefix))
        settings = cls(
            database_url=read.database_url(),
            database_read_url=read.database_url("DATABASE_READ_URL"),
            secret_key=read.secret_key(),
            data_dir=read.data_dir(default_data_dir(env)),
            database_pooler=read.flag("DATABASE_POOLER", default=cls.database_pooler),
            database_pool_size=read.integer("DATABASE_POOL_SIZE", cls.database_pool_size, 5, 100),
            algorithm=read.choice("ALGORITHM", cls.algorithm, ["HS256", "HS384", "HS512"]),
            access_token_lifetime=read.duration(
                "ACCESS_TOKEN_EXPIRE_MINUTES", cls.access_token_lifetime, _MINUTE, _DAY
            ),
            refresh_token_lifetime=read.duration(
                "REFRESH_TOKEN_EXPIRE_DAYS", cls.refresh_token_lifetime, _DAY, SESSION_LIFETIME
            ),
            app_name=read.text("APP_NAME", cls.app_name),
            app_version=read.text("APP_VERSION", cls.app_version),
            debug=(debug := read.flag("DEBUG", default=cls.debug)),
            cors_origins=read.origins("CORS_ORIGINS", cls.cors_origins),
            cors_headers=read.header_names("CORS_HEADERS"),
            server_host=read.text("SERVER_HOST", cls.server_host),
            server_port=read.integer("SERVER_PORT", cls.server_port, 1, 65535),
            workers=read.integer("WORKERS", cls.workers, 1, 64),
            drain=read.duration("DRAIN_SECONDS", cls.drain, _SECOND, 300 * _SECOND, low=0),
            metrics_address=read.listening("METRICS_ADDRESS"),
            otlp_endpoint=read.otlp_endpoint(),
            sentry_dsn=read.secret("SENTRY_DSN"),
            log_level=read.choice("LOG_LEVEL", "DEBUG" if debug else cls.log_level, _LOG_LEVELS),
            log_format=read.choice("LOG_FORMAT", "", ["console", "json"]) or None,
            old_secret_keys=read.old_secret_keys(),
            rate_limits=read.flag("RATE_LIMITS", default=cls.rate_limits),
            trusted_proxies=read.networks("TRUSTED_PROXIES"),
            allowed_hosts=read.hosts("ALLOWED_HOSTS"),
            docs=read.flag("DOCS_ENABLED", default=cls.docs),
            login_failure_floor=read.duration(
                "LOGIN_FAILURE_FLOOR_MS", cls.login_failure_floor, _MILLISECOND, 10 * _SECOND, low=0
            ),
            max_tasks=read.integer("MAX_TASKS_PER_USER", cls.max_tasks, 1, 1_000_000),
            trash_lifetime=read.duration("TRASH_DAYS", cls.trash_lifetime, _DAY, 3650 * _DAY),
            acts_as=read.text("TASKCLI_AS", "") or None,
            events_lifetime=read.duration(
                "EVENTS_DAYS", cls.events_lifetime, _DAY, 3650 * _DAY, low=LEAST_EVENTS_DAYS
            ),
            warnings=tuple(read.warnings),
        )
        if debug and not is_loopback(settings.server_host):
            read.problem("DEBUG", "is for this machine alone; SERVER_HOST lets others in")
        if settings.database_read_url and not settings.database_url:
            read.problem("DATABASE_READ_URL", "needs DATABASE_URL, the database that it follows")
        is_keyless = not settings.secret_key and not read.path("SECRET_KEY_FILE")
        if settings.database_url and is_keyless and not keyless:
            read.problem(
                "SECRET_KEY",
                "is required with DATABASE_URL; give the one that this database's servers have"
                " (another ends all access tokens), or for a new database make one with"
                " `python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`",
            )
        if read.problems:
            problems = read.problems.items()
            raise Misconfigured([f"{spelled(name, env, prefix)} {said}" for name, said in problems])
        return settings

    @property
    def key_file(self) -> Path:
        """Where the generated key is kept when `secret_key` is None."""
        return self.data_dir / "secret.key"

    def shown(self) -> dict[str, object]:
        """Every variable and its value, for people; of a secret, only whether it is set."""
        return {
            "DATABASE_URL": _masked(self.database_url, "embedded PostgreSQL in DATA_DIR"),
            "DATABASE_READ_URL": _masked(self.database_read_url, "no replica"),
            "DATABASE_POOLER": self.database_pooler,
            "DATABASE_POOL_SIZE": self.database_pool_size,
            "SECRET_KEY": _masked(self.secret_key, "generated into DATA_DIR"),
            "DATA_DIR": "(not used)" if self.data_dir == UNUSED else str(self.data_dir),
            "ALGORITHM": self.algorithm,
            "ACCESS_TOKEN_EXPIRE_MINUTES": self.access_token_lifetime // _MINUTE,
            "REFRESH_TOKEN_EXPIRE_DAYS": self.refresh_token_lifetime // _DAY,
            "APP_NAME": self.app_name,
            "APP_VERSION": self.app_version,
            "DEBUG": self.debug,
            "CORS_ORIGINS": list(self.cors_origins),
            "CORS_HEADERS": list(self.cors_headers),
            "SERVER_HOST": self.server_host,
            "SERVER_PORT": self.server_port,
            "WORKERS": self.workers,
            "DRAIN_SECONDS": self.drain // _SECOND,
            "METRICS_ADDRESS": self.metrics_address or "(off)",
            "OTEL_EXPORTER_OTLP_ENDPOINT": _masked(self.otlp_endpoint, "off"),
            "SENTRY_DSN": _masked(self.sentry_dsn, "off"),
            "LOG_LEVEL": self.log_level,
            "LOG_FORMAT": self.log_format or "console on a terminal, else json",
            "SECRET_KEYS_OLD": f"({len(self.old_secret_keys)} set, not shown)",
            "RATE_LIMITS": self.rate_limits,
            "TRUSTED_PROXIES": list(map(str, self.trusted_proxies)),
            "ALLOWED_HOSTS": list(self.allowed_hosts),
            "DOCS_ENABLED": self.docs,
            "LOGIN_FAILURE_FLOOR_MS": self.login_failure_floor // _MILLISECOND,
            "MAX_TASKS_PER_USER": self.max_tasks,
            "TRASH_DAYS": self.trash_lifetime // _DAY,
            "TASKCLI_AS": self.acts_as or "the operator",
            "EVENTS_DAYS": self.events_lifetime // _DAY,
        }


def _masked(secret: object | None, default: str) -> str:
    return f"({default})" if secret is None else "(set, not shown)"


class _Reader:
    """Reads variables one by one and collects their problems."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: dict[str, str] = {}
        self.warnings: list[str] = []

    def problem(self, name: str, sentence: str) -> None:
        self.problems.setdefault(name, sentence)

    def text(self, name: str, default: str) -> str:
        text = self.path(name)
        if is_not_utf_8(text):
            self.problem(name, "must be text in UTF-8")
            return default
        return text or default

    def path(self, name: str) -> str:
        """Of any bytes. Empty if the variable is not set."""
        # An empty variable counts as not set, as `NAME=` in a compose file means it.
        return self._env.get(name, "").strip()

    def data_dir(self, default: Path | None) -> Path:
        text = self.path("DATA_DIR")
        if not text and any(map(self.path, ("DATABASE_URL", "DATABASE_URL_FILE"))):
            return UNUSED
        folder = Path(text) if text else default
        if folder is None:
            self.problem("DATA_DIR", "must be set: this account has no home folder")
            return UNUSED
        try:
            return folder.absolute()
        except OSError:  # the working directory is gone
            self.problem("DATA_DIR", "must be an absolute path here")
            return UNUSED

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name, str(default))
        if re.fullmatch(r"[0-9]{1,9}", text) and low <= int(text) <= high:
            return int(text)
        self.problem(name, f"must be a whole number from {low} to {high}")
        return default

    def duration(
        self, name: str, default: timedelta, unit: timedelta, high: timedelta, *, low: int = 1
    ) -> timedelta:
        return unit * self.integer(name, default // unit, low, high // unit)

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name, str(default)).lower()
        if text not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
            self.problem(name, "must be on or off")
        return text in {"true", "1", "yes", "on"}

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        text = self.text(name, default)
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        if text:
            self.problem(name, f"must be one of {', '.join(choices)}")
        return default

    def secret(self, name: str) -> Secret | None:
        """The variable, or the content of the file in NAME_FILE."""
        value, file = self._env.get(name, ""), self.path(f"{name}_FILE")
        if value.strip() and file:
            self.problem(name, f"and {name}_FILE are both set; keep one")
        elif file:
            try:
                value = Path(file).read_text(encoding="utf-8").removesuffix("\n")
                if Path(file).stat().st_mode & 0o077:
                    self.warnings.append(
                        f"{name}_FILE can be read by others; run `chmod 600` on it"
                    )
            except (OSError, UnicodeDecodeError) as error:
                reason = f"cannot be read: {type(error).__name__}{placed(file)}"
                self.problem(f"{name}_FILE", reason)
            else:
                if not value.strip():
                    self.problem(f"{name}_FILE", "names an empty file")
        if is_not_utf_8(value):
            self.problem(name, "must be text in UTF-8")
        return Secret(value) if value.strip() else None

    def database_url(self, name: str = "DATABASE_URL") -> Secret | None:
        secret = self.secret(name)
        if secret is None:
            return None
        # SQLAlchemy's spelling with a driver is common in existing .env files.
        url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", secret.reveal().strip())
        if not url.startswith("postgresql://"):
            self.problem(name, "must start with postgresql://")
        return Secret(url)

    def secret_key(self) -> Secret | None:
        secret = self.secret("SECRET_KEY")
        if secret is not None:
            self._check_key("SECRET_KEY", secret.reveal())
        return secret

    def old_secret_keys(self) -> tuple[Secret, ...]:
        """A JSON list or a comma list; the keys that we generate hold no commas."""
        secret = self.secret("SECRET_KEYS_OLD")
        keys = self._listed("SECRET_KEYS_OLD", secret.reveal() if secret else "")
        for key in keys:
            self._check_key("SECRET_KEYS_OLD", key)
        return tuple(map(Secret, keys))

    def _check_key(self, name: str, key: str) -> None:
        if len(key.encode(errors="replace")) < MIN_KEY_BYTES:
            self.problem(name, f"must have at least {MIN_KEY_BYTES} bytes")
        if _PLACEHOLDER.search(key.lower()):
            self.problem(name, "is a placeholder from a document; make a random one")
        if len(set(key)) < _MIN_KEY_CHARACTERS:
            self.problem(name, "is too regular; make a random one")

    def _listed(self, name: str, text: str) -> tuple[str, ...]:
        """A JSON list or a comma list."""
        try:
            # `[::1]` is a host.
            is_json = re.match(r"\s*\[\s*(\"|\]|$)", text)
            items = json.loads(text) if is_json else text.split(",")
        except (ValueError, RecursionError):
            self.problem(name, "must be a JSON list or a list with commas")
            return ()
        return tuple(str(item).strip() for item in items if str(item).strip())

    def networks(self, name: str) -> tuple[IPNetwork, ...]:
        with suppress(ValueError):
            networks = tuple(map(network, self._listed(name, self.text(name, ""))))
            if all(each.prefixlen for each in networks):  # a /0 would trust every client
                return networks
        self.problem(name, "must list the addresses or networks (CIDR) of your proxies")
        return ()

    def hosts(self, name: str) -> tuple[str, ...]:
        with suppress(ValueError):
            return tuple(map(host, self._listed(name, self.text(name, ""))))
        self.problem(name, "must list host names, with no port and no wildcard")
        return ()

    def listening(self, name: str) -> str | None:
        with suppress(ValueError):
            if (text := self.text(name, "") or None) is None or listening(text):
                return text
        self.problem(name, "must be an address and a port, such as 127.0.0.1:9100")
        return None

    def otlp_endpoint(self) -> str | None:
        """Refuses nothing: in a host's environment these may be for the host, as it likes."""
        if self.path("OTEL_SDK_DISABLED").lower() == "true":
            return None
        exporter = self.path("OTEL_TRACES_EXPORTER").lower()
        default = "http://localhost:4318" if exporter == "otlp" else ""
        of_all = self.path("OTEL_EXPORTER_OTLP_ENDPOINT") or default
        to = self.path("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or of_all
        return None if exporter == "none" else to or None

    def header_names(self, name: str) -> tuple[str, ...]:
        names = self._listed(name, self.text(name, ""))
        if not all(re.fullmatch(r"[A-Za-z0-9!#$%&'+.^_`|~\-]+", each) for each in names):
            self.problem(name, "must list names of headers, with no wildcard")
        return names

    def origins(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        with suppress(ValueError):
            return tuple(map(origin, self._listed(name, self.text(name, json.dumps(default)))))
        self.problem(
            name,
            'must list origins such as ["https://app.example.org"]: scheme, host and port,'
            " no path, no wildcard",
        )
        return default
