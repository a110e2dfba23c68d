"""Commands that take a verb, such as `taskcli tasks list`."""

from pkgutil import resolve_name

from cyclopts import App

from taskcli.command_list import COMMANDS


def noun(name: str, explained: str) -> App:
    """The noun with its verbs. COMMANDS names their functions, which must be defined before."""
    app = App(name=name, version_flags=(), help=explained)
    (verbs,) = (functions for _, each, functions, *_ in COMMANDS if each == name)
    for verb, where in verbs.items():
        app.command(resolve_name(f"taskcli.{where}"), name=verb)
    return app
