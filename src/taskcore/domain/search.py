"""The words of a text, for search, and how well they match.

All stores search by these words, so that they find the same tasks.

A word is what remains of a letter or a digit when its case, its accents and its variants are
dropped: `Łódź` and `lodz` are one word, `ﬁle` and `FILE` another. The words of a character that
Unicode did not know before depend on the version of Python, all others do not.
"""

import re
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Self
from unicodedata import category, decomposition, normalize

from taskcore.domain.errors import Problem
from taskcore.domain.refusals import refuse
from taskcore.domain.text_rules import TextRule

# Code points. A longer word is cut, in texts and in queries alike: the entries of an index are
# bounded, and a query for a long word still finds it.
MAX_WORD = 64
# How many different words a task is found by, each an entry of an index. A text of 5000 characters
# has some hundred.
MAX_DIFFERENT = 1000
# Characters of a long text that are folded at a time, to stop at MAX_DIFFERENT.
_PIECE = 1024
MAX_WORDS = 8  # in a query; characters of scripts without blanks count as one word, if in a row
# Different words in a query, characters of such scripts included: each is looked up by itself, and
# compared with the title of each task that is ranked. Where all are in all of 6000 tasks, a search
# for 8 took 0.08 s, for 16 0.10 s, for 32 0.24 s, for 200 1.1 s.
MAX_LOOKED_UP = 24
QUERY = TextRule("q", 1, 200)
_MAX_REMEMBERED = 2**15  # characters
# A query word of at least so many characters also matches as the beginning of a word. With fewer it
# would match a large part of all tasks.
MIN_PREFIX = 2

# Letters that Unicode does not decompose, although people write them without their mark or as two.
_LETTERS = {
    **dict(zip("đðħıłŋøŧəɛɔɓɖɗƙƴґ", "ddhilnoteeobddkyг", strict=True)),  # noqa: RUF001
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "\u02bc": " ",  # an apostrophe that counts as a letter; the others end a word
    "\u0640": "",  # only lengthens the line between two Arabic letters
    **dict.fromkeys("\xad\u200d\u2060\ufeff", ""),  # invisible inside a word
}
# Scripts that are written without blanks between words: each character is a word of its own.
_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"  # with the line above: Han
    "\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\U0001aff0-\U0001b16f"  # Hiragana, Katakana
    "]"
)
_ASCII = {code: " " for code in range(128) if not chr(code).isalnum()}


def words_of(text: str) -> list[str]:
    """The words in their order, repeats kept; each 1..MAX_WORD letters and digits.

    A word is its own only word, and both normal forms of a text have the same words. Takes time
    with the length of the text: about 0.05 ms for 5000 ASCII characters, 0.5 ms for other scripts,
    and some milliseconds for thousands of different characters that are not remembered.
    """
    folded = text.lower().translate(_ASCII) if text.isascii() else _fold(text)
    words = folded.split()
    if len(folded) > MAX_WORD:
        return [word[:MAX_WORD] for word in words]
    return words


def found_by(text: str) -> list[str]:
    """The different words by which a search finds a text: the first MAX_DIFFERENT.

    Takes a millisecond or two at most: what comes after them is not folded.
    """
    if len(text) <= _PIECE or text.isascii():
        return list(islice(dict.fromkeys(words_of(text)), MAX_DIFFERENT))
    found: dict[str, None] = {}
    unfinished = ""
    for start in range(0, len(text), _PIECE):
        folded = unfinished + _fold(text[start : start + _PIECE])
        words = folded.split()
        # The next piece may go on with the last word.
        unfinished = words.pop() if words and not folded[-1].isspace() else ""
        found |= dict.fromkeys(word[:MAX_WORD] for word in words)
        if len(found) >= MAX_DIFFERENT:
            break
    else:
        if unfinished:
            found[unfinished[:MAX_WORD]] = None
    return list(islice(found, MAX_DIFFERENT))


def blank_separated(text: str) -> str:
    """`found_by` as one text, which takes a tenth of the memory."""
    return " ".join(found_by(text))


def _fold(text: str) -> str:
    """The words of a text with blanks between them.

    Each character by itself: to normalise a whole text takes time with the square of the length
    of a run of accents.
    """
    return text.translate(_REMEMBERED)


def _ideograph(character: str) -> str | None:
    """The word of a Han character that is its own only form; None for any other character.

    There are many of them, and this takes a third of the time.
    """
    is_han = "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff"
    if is_han and character.isalnum() and not decomposition(character):
        return f" {character} "
    return None


def _letters(character: str) -> str:
    return "".join(map(_folded, normalize("NFKD", character).casefold()))


class _Remembered(dict[int, str]):
    """What characters become, by their code points, as `str.translate` asks for it.

    5 MB at most: where it is full it begins anew. A few alphabets have hundreds of characters.
    """

    def __missing__(self, code: int) -> str:
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        character = chr(code)
        folded = self[code] = _ideograph(character) or _letters(character)
        return folded


_REMEMBERED = _Remembered()


def _folded(character: str) -> str:
    """The letters of a character that is decomposed and in lower case; a blank ends a word."""
    if (letters := _LETTERS.get(character)) is not None:
        return letters
    if character.isalnum():
        return f" {character} " if _UNSPACED.match(character) else character
    return "" if category(character).startswith("M") else " "


def _is_unspaced(word: str) -> bool:
    return _UNSPACED.match(word) is not None


def prefixes(word: str) -> bool:
    """Whether a query word also matches as the beginning of a word."""
    return len(word) >= MIN_PREFIX


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched for: 1..MAX_LOOKED_UP different words, in the order of the query."""

    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Invalid for the field `q`."""
        QUERY.check(text)
        words = tuple(dict.fromkeys(words_of(text)))
        if not words:
            refuse(Problem(QUERY.field, "needs at least one letter or digit", "no_words"))
        runs = (1 if unspaced else len(list(run)) for unspaced, run in groupby(words, _is_unspaced))
        if sum(runs) > MAX_WORDS:
            refuse(Problem(QUERY.field, f"takes at most {MAX_WORDS} words", "too_many_words"))
        if len(words) > MAX_LOOKED_UP:
            detail = (
                f"takes at most {MAX_LOOKED_UP} different characters of a script without blanks"
            )
            refuse(Problem(QUERY.field, detail, "too_many_words"))
        return cls(words)

    def matches(self, title: str, description: str) -> bool:
        """Whether each word is in the title or the description."""
        return self.rank(title, description) is not None

    def rank(self, title: str, description: str) -> int | None:
        """How many of the words match in the title (more is better), or None if some do not match.

        Tasks of equal rank are ordered by id.
        """
        in_title = self._found(title)
        missing = set(self.words) - in_title
        if missing and not missing <= self._found(description):
            return None
        return len(in_title)

    def _found(self, text: str) -> set[str]:
        line = f" {blank_separated(text)} "
        return {
            word for word in self.words if (f" {word}" if prefixes(word) else f" {word} ") in line
        }
