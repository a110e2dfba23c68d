"""The commands there are, and the page that `taskcli --help` prints.

Written without cyclopts and rich, which together take ten times as long to import as this page
takes to print. They still print the help of each command.
"""

from collections.abc import Mapping

from taskcli.global_options import OPTIONS

# Group, noun, its verbs and where the function of each is, one line, and where the App or the
# function of the noun is. This registers a command, too.
COMMANDS: tuple[tuple[str, str, Mapping[str, str], str, str], ...] = (
    ("Serve", "serve", {}, "run the HTTP API", "taskcli.serve:serve"),
    ("Serve", "openapi", {}, "print the API's OpenAPI document", "taskcli.openapi:openapi"),
    (
        "Database",
        "db",
        {"upgrade": "db:upgrade", "current": "db:current", "check": "db:check"},
        "migrate the database to this version's schema, or show its revision",
        "taskcli.db:app",
    ),
    (
        "Database",
        "housekeeping",
        {},
        "remove deleted accounts, old trash, expired sessions; a server does it too",
        "taskcli.housekeeping:housekeeping",
    ),
    (
        "Database",
        "backup",
        {},
        "write database and key into one file, while servers go on",
        "taskcli.backups:backup",
    ),
    (
        "Database",
        "restore",
        {},
        "put a backup into an empty database, or in its place with --replace",
        "taskcli.backups:restore",
    ),
    (
        "People and tasks",
        "users",
        {
            "create": "users:create",
            "list": "users:list_",
            "show": "users:show_",
            "edit": "users:edit",
            "set-role": "users:set_role",
            "set-password": "users:set_password",
            "activate": "users:activate",
            "deactivate": "users:deactivate",
            "unlock": "users:unlock",
            "delete": "users:delete",
        },
        "manage accounts; the first administrator is made here",
        "taskcli.users:app",
    ),
    (
        "People and tasks",
        "tasks",
        {
            "list": "tasks.lists:list_",
            "show": "tasks.one_task:show_",
            "create": "tasks.one_task:create",
            "edit": "tasks.one_task:edit",
            "done": "tasks.one_task:done",
            "reopen": "tasks.one_task:reopen",
            "delete": "tasks.trash:delete",
            "trash": "tasks.trash:list_trash",
            "restore": "tasks.trash:restore",
            "purge": "tasks.trash:purge",
            "labels": "tasks.lists:labels",
            "history": "tasks.history:history",
            "revert": "tasks.history:revert",
        },
        "manage the tasks of all users, or act as one with --as or TASKCLI_AS",
        "taskcli.tasks:app",
    ),
    (
        "People and tasks",
        "changes",
        {},
        "what changes in the account of a user; --follow tells it at once",
        "taskcli.changes:changes",
    ),
    (
        "People and tasks",
        "sessions",
        {"list": "sessions:list_", "revoke": "sessions:revoke"},
        "see where people are logged in, and log them out",
        "taskcli.sessions:app",
    ),
    ("People and tasks", "audit", {}, "who did what to whom, from where", "taskcli.audit:audit"),
    (
        "This machine",
        "config",
        {"show": "config:show"},
        "every setting; never a secret",
        "taskcli.config:app",
    ),
    (
        "This machine",
        "doctor",
        {},
        "check settings, database, key, clock and disk, and say what to do",
        "taskcli.doctor:doctor",
    ),
    ("This machine", "help", {}, "say what a command takes", "taskcli.help_command:help_"),
    (
        "This machine",
        "completion",
        dict.fromkeys(("bash", "zsh", "fish"), ""),  # arguments of one function
        "print a completion script for a shell",
        "taskcli.completion:completion",
    ),
)

EXIT_CODES = (
    (0, "done"),
    (1, "failure, or the answer is no (db check, doctor, a question declined)"),
    (2, "the command line is wrong"),
    (65, "bad data, no such user or task, or a conflict"),
    (69, "the database cannot be reached"),
    (74, "the database went away, and the change may have been made: look before you repeat it"),
    (75, "busy just now; try again"),
    (77, "not permitted"),
    (78, "the configuration is wrong, or the database not migrated"),
    (130, "interrupted (Ctrl-C); 143 after SIGTERM, 129 after SIGHUP"),
)

_VERBS_A_LINE = 8
_EXAMPLES = """\
Examples:
  taskcli users create --email ada@example.org --role admin
  pass show ada | taskcli users create --email ada@example.org --password-stdin
  taskcli users list --role admin --json | jq -r '.items[].email'
  taskcli tasks create --as ada@example.org --title "Write the letter" --due friday
  taskcli tasks list --as ada@example.org --status open --due today
  taskcli tasks list --as ada@example.org --all --json > tasks.json
  taskcli users delete bob@example.org --yes
  taskcli sessions revoke --user bob@example.org --yes
  taskcli audit --event login.failed --since 2026-01-31
"""

_SETTINGS = """\
Settings come from the environment and from .env in the working directory, as the server's do.
Without DATABASE_URL an embedded PostgreSQL runs in DATA_DIR for as long as it is used.
Data goes to standard output, in a pipe with tabs between columns; messages to standard error.
`taskcli tasks` acts as the user in TASKCLI_AS, if that is set. NO_COLOR leaves colours out.
"""


def page() -> str:
    lines = [
        "Operate the task-management backend.",
        "",
        "Usage: taskcli COMMAND [VERB] [OPTIONS]      taskcli help COMMAND says more",
    ]
    group = ""
    for title, noun, functions, summary, _ in COMMANDS:
        verbs = list(functions)
        if title != group:
            lines += ["", f"{title}:"]
            group = title
        lines.append(f"  {noun:<14}{summary}")
        for first in range(0, len(verbs), _VERBS_A_LINE):
            lines.append(f"  {'':<16}{' | '.join(verbs[first : first + _VERBS_A_LINE])}")
    lines += ["", _EXAMPLES, "Exit codes:"]
    lines += [f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES]
    lines += ["", "Options of every command, before or after it:"]
    lines += [f"  {name:<11}{meaning}" for name, meaning in OPTIONS]
    lines += ["", _SETTINGS + "Also: -h, --help, --version."]
    return "\n".join(lines)


def version() -> str:
    from taskcore import __version__  # noqa: PLC0415 - the help page needs none of it

    return __version__
