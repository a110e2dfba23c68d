"""How cyclopts prints the help page of a command."""

import re
from typing import Any

from cyclopts.help import DefaultFormatter, InlineText
from rich.console import Console, ConsoleOptions
from rich.text import Text

_LINE_END = re.compile(r"(?<!\n)\n(?!\n)")


class FilledParagraphs(DefaultFormatter):
    """Fills the terminal with each paragraph of a docstring, which has line ends of its own."""

    def render_description(
        self,
        console: Console,
        options: ConsoleOptions,
        description: Any,  # noqa: ANN401 - as cyclopts declares it
    ) -> None:
        if isinstance(description, InlineText) and isinstance(description.primary_renderable, Text):
            text = _LINE_END.sub(" ", description.primary_renderable.plain)
            description.primary_renderable = Text(text)
        super().render_description(console, options, description)
