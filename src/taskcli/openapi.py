"""`taskcli openapi`: the document that the server serves, without a server."""

import sys
from importlib import import_module

from taskcore import Settings


def openapi() -> None:
    """Print the OpenAPI document."""
    # By name, because neither driving adapter may depend on the other.
    document = import_module("taskapi.app").served_document(Settings.load())
    sys.stdout.write(document.decode() + "\n")
