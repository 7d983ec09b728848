"""Text garbled by a wrong encoding or a terminal is repaired where that is certain, and only there."""

# ruff: noqa: RUF001 - letters of many alphabets and typographic quotes are what is tested

import pytest

from tasks.clean.repair import garbled_at, repaired
from tasks.clean.settings import FIXES

SENTENCES = [
    "Don’t worry – the “café” is open…",
    "¿Dónde está el niño? ¡Allí!",
    "Über den Wölken wär’ Ärger groß",
    "Можешь мне помочь?",
    "日本語のテキスト",
    "Ελληνικά και αγγλικά",
    "Zażółć gęślą jaźń",
    "Done ✔ 😀",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_utf8_read_as_latin_1_or_windows_1252_is_read_right(sentence: str) -> None:
    wrong = sentence.encode().decode("latin-1")
    assert repaired(wrong) == (sentence, ["mojibake"])
    assert repaired(wrong.encode().decode("latin-1")) == (sentence, ["mojibake"]), "twice garbled"


@pytest.mark.parametrize(
    "sound",
    [
        *SENTENCES,
        "PÃO DE AÇÚCAR E IRMÃ DULCE",
        "VOILÀ L’ŒUVRE À L’ÉCOLE",
        "50 µm ± 2° × £10, N° 5 – Nº 6ª",
        "«Où ça?» – Ø50 ±0,1",
        "│ ├── src └── ║ ╔═╗",
        "x² ≤ y³ ∑∫√ → ⇒",
        "ﬁne ﬂow, ＦＵＬＬ　ｗｉｄｔｈ, 'straight' “curly”",
        "¯\\_(ツ)_/¯",
        "T\u00adrennung, zero\u200bwidth, no\u00a0break",
        "a &amp; b &eacute; <br> %C3%A9 \\u00e9",
        "one\r\ntwo\ttabs\x0cpage\u2028line",
    ],
)
def test_sound_text_stays(sound: str) -> None:
    assert repaired(sound) == (sound, [])


@pytest.mark.parametrize(
    "both",
    [
        "If you see Ã© instead of é, the encoding is wrong.",
        "`'Ã©'.encode('latin-1').decode() == 'é'`",
        "Donâ€™t say “no”",
        "l'Ã©tÃ© Ã  Paris",
    ],
)
def test_what_is_garbled_in_part_is_seen_and_not_guessed(both: str) -> None:
    assert repaired(both) == (both, [])
    assert garbled_at(both) is not None


def test_each_line_is_judged_alone() -> None:
    assert repaired("the café\nthe cafÃ©\n") == ("the café\nthe café\n", ["mojibake"])


def test_quotes_of_windows_1252_that_became_control_characters() -> None:
    assert repaired("It\x92s \x93so\x94 \x96 really") == ("It’s “so” – really", ["mojibake"])


def test_control_characters_and_terminal_escapes_leave_and_tabs_stay() -> None:
    assert repaired("a\x00b\x08\tc\x7f") == ("ab\tc", ["control_characters"])
    assert repaired("\ufeffname") == ("name", ["control_characters"])
    assert repaired("\x1b[1;31mred\x1b[0m \x1b]0;title\x07end") == ("red end", ["terminal_escapes"])


def test_surrogate_pairs_are_joined_and_halves_stay() -> None:
    assert repaired("\ud83d\ude00") == ("😀", ["surrogate_pairs"])
    assert repaired("half \ud83d of it") == ("half \ud83d of it", [])


def test_normalisation_is_chosen() -> None:
    assert repaired("cafe\u0301") == ("caf\u00e9", ["normalisation"])
    assert repaired("cafe\u0301", FIXES[:-1]) == ("cafe\u0301", [])
    assert repaired("ﬁ ² Ａ") == ("ﬁ ² Ａ", []), "compatibility characters stay"


def test_all_fixes_together_are_named_in_order_and_a_second_time_changes_nothing() -> None:
    text, names = repaired("cafÃ©\n\ud83d\ude00 \x1b[0m\x00 e\u0301")
    assert (text, tuple(names)) == ("café\n😀  é", FIXES)
    assert repaired(text) == (text, [])


def test_lost_characters_are_garbled_and_sound_ones_are_not() -> None:
    assert garbled_at("doesn\ufffdt") == 5
    assert all(garbled_at(sentence) is None for sentence in SENTENCES)
