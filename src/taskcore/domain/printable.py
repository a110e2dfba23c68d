"""Text as people may be shown it: no character of it acts on a terminal or hides in a line.

A title, a name or a user agent comes from a client. Printed as it is, it could end a line and
forge the next one, forge a column by blanks, clear a screen, or turn the direction of writing.
Hence the code that prints a message, a table or a log line makes the whole text visible.
"""

import json
import re

# Most texts are visible ASCII with single blanks in between, and need no look at each character.
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_JOINERS = "\u200c\u200d"
# Unicode calls them letters and symbols, but a terminal shows nothing or a blank.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_LONGEST_QUOTE = 40  # characters; a message with a quote of that length fits into most terminals


def visible(text: str) -> str:
    r"""The text on one line, what misleads escaped as Python writes it: `\n`, `\x1b`, `\u202e`.

    Escaped are control characters, the ends of lines and paragraphs, what has no width or changes
    the direction of writing, unassigned and private characters, and every blank but a single U+0020
    between two other characters. The two joiners stay where they join: some scripts are spelled
    with them. A backslash stays as it is, so that a visible text is not changed again.
    """
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        character if _is_harmless(text, place) else _escaped(character)
        for place, character in enumerate(text)
    )


def quoted(text: str) -> str:
    r"""The text for a sentence: visible, cut, and in quotes that it cannot end (`\"`)."""
    cut = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    return '"' + visible(cut.replace("\\", r"\\")).replace('"', r"\"") + '"'


def block(text: str) -> list[str]:
    """The lines of a text that may have several. Each is visible, and keeps its indentation."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        words = line.lstrip(" ")
        lines.append(line[: len(line) - len(words)] + visible(words))
    return lines


def ascii_json(text: str) -> str:
    """JSON text that means the same, in visible ASCII: all other characters are escaped."""
    if text.isascii() and "\x7f" not in text:  # JSON escapes the other control characters itself
        return text
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text).replace("\x7f", r"\u007f")


def _is_harmless(text: str, place: int) -> bool:
    character, after = text[place], text[place + 1 : place + 2]
    before = text[place - 1] if place else ""
    if character == " ":
        return before not in {"", " "} and after != ""
    if character in _JOINERS:
        return _may_be_joined(before) and _may_be_joined(after)
    return character.isprintable() and character not in _BLANK


def _may_be_joined(character: str) -> bool:
    return not character.isascii() and character.isprintable() and character not in _BLANK


def _escaped(character: str) -> str:
    return "\\x20" if character == " " else character.encode("unicode_escape").decode("ascii")
