"""`taskcli config`: what the settings are."""

from taskcli.arguments import Json
from taskcli.nouns import noun
from taskcli.output import show as show_record
from taskcli.running import settings


def show(*, as_json: Json = False) -> None:
    """Print every setting. Of a secret it shows only whether it is set."""
    shown = settings().shown()
    if not as_json:  # a switch as the README writes it
        words = {True: "on", False: "off"}
        shown = {n: words[v] if isinstance(v, bool) else v for n, v in shown.items()}
    show_record(shown, as_json=as_json)


app = noun("config", "Show the settings, as the server reads them.")
