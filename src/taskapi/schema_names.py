"""The names of the schemas in the document."""

from typing import Any


def schema_name(shape: str) -> str:
    """The schema of a TaskView is named Task."""
    return shape.removesuffix("View")


def renamed(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """The part of a document, with each schema named by `schema_name`.

    Values and descriptions stay.
    """
    if isinstance(schema, list):
        return [renamed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: schema_name(value)
        if key in {"$ref", "title"} and isinstance(value, str)
        else renamed(value)
        for key, value in schema.items()
    }
