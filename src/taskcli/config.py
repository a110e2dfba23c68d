"""`taskcli config`: what the settings are."""

from cyclopts import App

from taskcli.arguments import Json
from taskcli.output import show as show_record
from taskcli.running import settings

app = App(name="config", version_flags=(), help="Show the settings, as the server reads them.")


@app.command
def show(*, as_json: Json = False) -> None:
    """Print every setting. Of a secret it shows only whether it is set."""
    show_record(settings().shown(), as_json=as_json)
