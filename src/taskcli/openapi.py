"""`taskcli openapi`: the document that the server serves, without a server."""

import sys
from importlib import import_module

from taskcore import Settings


def openapi() -> None:
    """Print the OpenAPI document."""
    # By name, because the two driving adapters are neighbours and not each other's foundation.
    document = import_module("taskapi.app").served_document(Settings.load())
    sys.stdout.write(document.decode() + "\n")
