"""`taskcli openapi`: the document that the server serves, without a server."""

from importlib import import_module

from taskcli.standard_streams import write
from taskcore import Settings
from taskcore.domain.printable import ascii_json


def openapi() -> None:
    """Print the OpenAPI document."""
    # By name, because neither driving adapter may depend on the other.
    document = import_module("taskapi.app").served_document(Settings.load())
    write(ascii_json(document.decode()) + "\n")
