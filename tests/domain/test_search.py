"""The words of a text, and searching by them."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain import search
from taskcore.domain.errors import Invalid
from taskcore.domain.search import MAX_WORD, Search, found_by, words_of

# Much of what is folded, beside each other often.
TEXTS = st.text(
    st.sampled_from("aB1 _-'éÉßẞøŁıİſﬁﷺᾳςŉʼ한ガ会議ไทยकि\u0301\u0345\u0323\u3099\xad\u200c\u2028")
    | st.characters(exclude_categories=["Cs"]),
    max_size=100,
)


@given(TEXTS)
def test_a_word_is_its_own_only_word(text: str) -> None:
    for word in words_of(text):
        assert words_of(word) == [word]
        assert word.isalnum()
        assert len(word) <= MAX_WORD


def test_a_word_of_any_character_is_its_own_only_word() -> None:
    line = " ".join(map(chr, range(0x20000)))  # above are Han alone, and what no word holds
    words = words_of(line)
    assert words_of(" ".join(words)) == words
    assert all(map(str.isalnum, words))


@given(TEXTS)
def test_both_normal_forms_have_the_same_words(text: str) -> None:
    assert words_of(normalize("NFC", text)) == words_of(normalize("NFD", text)) == words_of(text)


@given(st.text(st.characters(max_codepoint=127), max_size=100))
def test_ascii_has_the_words_that_it_has_among_other_text(text: str) -> None:
    assert words_of(text) == words_of(text + " \u2026")


@given(TEXTS, TEXTS)
def test_the_words_of_a_text_are_those_of_its_parts(one: str, other: str) -> None:
    assert words_of(f"{one} {other}") == words_of(one) + words_of(other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("!!! \u2026 🎉", ""),
        ("Buy milk, buy BREAD", "buy milk buy bread"),
        ("foo.bar_baz@x.org /usr/bin", "foo bar baz x org usr bin"),
        ("Łódź Ærø Þórður Đà naïve", "lodz aero thordur da naive"),
        ("Straße STRASSE", "strasse strasse"),
        ("İstanbul ISPARTA ısparta", "istanbul isparta isparta"),  # noqa: RUF001
        ("Ὀδυσσεύς", "οδυσσευσ"),
        ("ﬁle x² ＡＢ", "file x2 ab"),  # noqa: RUF001
        ("don't don\u2019t об\u02bcєкт", "don t don t об єкт"),  # noqa: RUF001
        ("co\xadoperate", "cooperate"),
        ("会議の資料 A4", "会 議 の 資 料 a4"),
        ("ｶﾅ カナ", "カ ナ カ ナ"),
        ("मीटिंग", "मटग"),
    ],
)
def test_case_accents_and_variants_make_no_difference(text: str, words: str) -> None:
    assert words_of(text) == words.split()


def test_a_long_word_is_cut_alike_in_texts_and_queries() -> None:
    for letter in "aß":
        long = letter * 500
        assert [len(word) for word in words_of(long)] == [MAX_WORD]
        assert Search.parse(letter * 200).matches(long, "")


# Queries


def code(query: str) -> str:
    with pytest.raises(Invalid) as refusal:
        Search.parse(query)
    (problem,) = refusal.value.problems
    assert problem.field == "q"
    return problem.code


def test_a_query_has_one_to_eight_different_words() -> None:
    assert Search.parse("a b c d e f g h A B").words == tuple("abcdefgh")
    assert code("a b c d e f g h i") == "too_many_words"
    assert code("!!!") == "no_words"
    assert code("") == "too_short"
    assert code("x" * 201) == "too_long"
    assert code("x\x00") == "control_character"


def test_characters_without_blanks_between_them_are_one_word_of_the_eight() -> None:
    sentence = "来週の会議の資料を田中さんに送る"
    assert Search.parse(sentence).matches(f"メモ: {sentence}。", "")
    assert not Search.parse(sentence).matches(sentence[1:], "")
    assert code(f"a b c d e f g h {sentence}") == "too_many_words"
    assert len(Search.parse(f"a b c d {sentence} e f g").words) == 7 + len(set(sentence))
    many = "".join(map(chr, range(0x4E00, 0x4E00 + search.MAX_LOOKED_UP)))
    assert len(Search.parse(many * 6).words) == search.MAX_LOOKED_UP
    assert code(many + "会") == "too_many_words"


@pytest.mark.parametrize(
    ("query", "title", "description", "rank"),
    [
        ("milk", "Buy milk", "", 1),
        ("mil BU", "Buy milk", "", 2),
        ("ilk", "Buy milk", "", None),
        ("milk shop", "Buy milk", "in the shop", 1),
        ("milk shop", "Buy milk", "", None),
        ("shop", "", "Shops", 0),
        ("b", "Buy milk", "plan b", 0),
        ("b", "Buy milk", "", None),
        ("会議", "会議の資料", "", 2),
        ("会議", "会の資料", "", None),
        ("한", "한국", "", 1),
        ("uber", "Über", "", 1),
    ],
)
def test_each_word_matches_a_word_or_its_beginning(
    query: str, title: str, description: str, rank: int | None
) -> None:
    search = Search.parse(query)
    assert search.rank(title, description) == rank
    assert search.matches(title, description) is (rank is not None)


@given(TEXTS, TEXTS, st.text(max_size=20))
def test_a_search_finds_what_the_words_say(title: str, description: str, query: str) -> None:
    try:
        search = Search.parse(query)
    except Invalid:
        return

    def found(text: str) -> list[str]:
        return [
            wanted
            for wanted in search.words
            if any(
                w == wanted or (len(wanted) > 1 and w.startswith(wanted)) for w in words_of(text)
            )
        ]

    everywhere = set(found(title) + found(description))
    expected = len(found(title)) if everywhere == set(search.words) else None
    assert search.rank(title, description) == expected


def test_a_run_of_accents_is_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalising a whole run takes time with the square of its length."""
    sizes: set[int] = set()

    def spy(form: str, text: str) -> str:
        sizes.add(len(text))
        return normalize(form, text)  # type: ignore[arg-type]  # a literal

    search._REMEMBERED.clear()
    monkeypatch.setattr(search, "normalize", spy)
    run = "\u0344" * 2500 + "\u0f73" * 2500
    assert words_of(f"a{run}b") == ["ab"]
    assert sizes == {1}


def test_a_text_is_found_by_its_first_different_words() -> None:
    text = " ".join(f"w{number}" for number in range(search.MAX_DIFFERENT + 1))
    last = Search.parse(f"w{search.MAX_DIFFERENT}")
    assert not last.matches("title", text)
    assert last.matches("title", text.replace("w0 ", "w1 "))
    assert Search.parse("w999").matches("title", text)


@given(st.lists(TEXTS, min_size=30, max_size=60), st.integers(900, 1100))
def test_a_long_text_is_found_by_the_words_that_it_has(parts: list[str], ends_at: int) -> None:
    """It is folded in pieces; a word may be in two of them."""
    text = ("x" * ends_at) + "".join(parts)
    assert found_by(text) == list(dict.fromkeys(words_of(text)))[: search.MAX_DIFFERENT]
    text = "\u0142" * ends_at + " " + "".join(parts) * 9
    assert found_by(text) == list(dict.fromkeys(words_of(text)))[: search.MAX_DIFFERENT]


def test_what_comes_after_the_words_that_find_a_text_is_not_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of different characters take milliseconds."""
    folded = 0
    fold = search._ideograph

    def spy(character: str) -> str | None:
        nonlocal folded
        folded += 1
        return fold(character)

    search._REMEMBERED.clear()
    monkeypatch.setattr(search, "_ideograph", spy)
    assert len(found_by("".join(map(chr, range(0x4E00, 0x4E00 + 5000))))) == search.MAX_DIFFERENT
    assert folded < 2 * search.MAX_DIFFERENT


def test_a_character_is_folded_once_and_a_bounded_number_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A text of 5000 syllables takes a third of a millisecond then, in place of three."""
    folded = ""
    fold = search._ideograph

    def spy(character: str) -> str | None:
        nonlocal folded
        folded += character
        return fold(character)

    monkeypatch.setattr(search, "_ideograph", spy)
    monkeypatch.setattr(search, "_MAX_REMEMBERED", 100)
    search._REMEMBERED.clear()
    syllables = "".join(map(chr, range(0xAC00, 0xAC00 + 100)))
    assert words_of(syllables) == words_of(syllables)
    assert folded == syllables
    words_of("\u0142" * 2)
    assert list(search._REMEMBERED) == [0x142]


def test_a_long_word_is_cut_however_it_is_spelled() -> None:
    assert words_of("\ufb03" * 64) == [("ffi" * 64)[: search.MAX_WORD]]


def test_han_characters_have_the_words_of_any_other_character() -> None:
    """They take a shorter way. Every seventh of all, and those beside the bounds."""
    bounds = [0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xA000, 0x20000, 0x2F800, 0x2FA1D, 0x3FFFF, 0x40000]
    codes = {*range(0x3000, 0x40001, 7)} | {code + by for code in bounds for by in (-1, 0, 1)}
    for character in map(chr, codes):
        shorter = search._ideograph(character)
        assert shorter in {None, search._letters(character)}, hex(ord(character))
    assert search._ideograph("\u4f1a") == " \u4f1a "
