r"""Text that a wrong encoding or a terminal has garbled, as it was meant: only where that is certain.

The library ftfy (Speer 2019, doi:10.5281/zenodo.2591652) knows what text looks like whose UTF-8 bytes were read in one
of the old encodings. Of what it can do, only this is done: a line that looks garbled, and whose every byte is valid
UTF-8 once it is read right, is read right. It guesses too, and that stays off: half a line (`the page shows Ã© for é`
is a sentence about the fault), lost bytes, lost no-break spaces. Quotes, ligatures, the width of characters, HTML
entities and line breaks stay as they are, for in code they mean something.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

Normalisation = Literal["NFC"]
"""Unicode forms to choose from: NFC joins letters and their accents and changes nothing that can be seen."""

FIXES = ("mojibake", "surrogate_pairs", "terminal_escapes", "control_characters", "normalisation")
"""Names of what can be done, in the order in which it is done."""

_CONTROLS = bytes([*range(9), 0x0B, *range(0x0E, 0x20), 0x7F])
"""ASCII control characters that no text needs: all but tab, line feed, form feed and carriage return."""

_INVISIBLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")
"""Control characters of ASCII and Unicode, byte order marks, and the object replacement character."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
"""What a terminal takes for colours, moves of the cursor and its title (ECMA-48: CSI and OSC)."""

_TWO_BYTES = re.compile("[^\x00-\x7f]{2}")
"""What every garbled line has: a character of two bytes or more makes two of them, none in ASCII."""

_ALONE = re.compile("(?:^|[\x00-\x7f])[^\x00-\x9f](?:[\x00-\x7f]|$)")
"""What no garbled line has, if all of it is to be read anew: one such character alone."""

_CONTROL_1 = re.compile("[\x80-\x9f]")
"""Control characters of Latin-1, which were quotes and dashes in Windows-1252."""

_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def repaired(text: str, normalisation: Normalisation | None = "NFC") -> tuple[str, list[str]]:
    """`text` as it was meant, and the names of the `FIXES` that changed it.

    Half a surrogate pair stays where it is, for nobody knows what it was; such a row must leave (`bad_unicode`).
    """
    if text.isascii() and not _has_controls(text):
        return text, []
    names = []
    steps: dict[str, Callable[[str], str]] = {
        "mojibake": _read_right,
        "surrogate_pairs": _joined,
        "terminal_escapes": lambda given: _ESCAPES.sub("", given) if "\x1b" in given else given,
        "control_characters": lambda given: _INVISIBLE.sub("", given),
        "normalisation": lambda given: unicodedata.normalize(normalisation, given) if normalisation else given,
    }
    for name in FIXES:
        before, text = text, steps[name](text)
        if text != before:
            names.append(name)
    return text, names


def garbled(text: str) -> bool:
    """Whether `text` still looks garbled after `repaired`: mojibake amid sound letters, or lost characters (U+FFFD)."""
    if text.isascii():
        return False
    if "\ufffd" in text:
        return True
    if not _TWO_BYTES.search(text):
        return False
    from ftfy.badness import is_bad

    return is_bad(text)


def _has_controls(text: str) -> bool:
    """Whether an ASCII text has control characters; in bytes, for that takes a tenth of a regular expression's time."""
    given = text.encode()
    return len(given.translate(None, _CONTROLS)) != len(given)


def _read_right(text: str) -> str:
    """`text` with every line that was read in a wrong encoding read in the right one."""
    if not (_TWO_BYTES.search(text) or _CONTROL_1.search(text)):
        return text
    from ftfy import TextFixerConfig, fix_encoding

    certain = TextFixerConfig(restore_byte_a0=False, replace_lossy_sequences=False, decode_inconsistent_utf8=False)
    return "\n".join(fix_encoding(line, certain) if _may_be_wrong(line) else line for line in text.split("\n"))


def _may_be_wrong(line: str) -> bool:
    """Whether ftfy could change the line; it needs 0.4 microseconds a character to see that, and this a tenth."""
    if line.isascii():
        return False
    return bool((_TWO_BYTES.search(line) and not _ALONE.search(line)) or _CONTROL_1.search(line))


def _joined(text: str) -> str:
    r"""`text` with halves of surrogate pairs that stand together as the character that they are."""
    return _PAIRS.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)
