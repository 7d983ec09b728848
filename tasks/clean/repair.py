r"""Text that a wrong encoding or a terminal has garbled, as it was meant: only where that is certain.

The library ftfy (Speer 2019, doi:10.5281/zenodo.2591652) knows what text looks like whose UTF-8 bytes were read in one
of the old encodings. Of what it can do, only this is done: a line that looks garbled, and whose every byte is valid
UTF-8 once it is read right, is read right. It guesses too, and that stays off: half a line (`the page shows Ã© for é`
is a sentence about the fault), lost bytes, lost no-break spaces. Quotes, ligatures, the width of characters, HTML
entities and line breaks stay as they are, for in code they mean something.
"""

import re
import unicodedata
from collections.abc import Callable, Collection

from tasks.clean.content import Content, Finding, excerpt
from tasks.clean.settings import FIXES

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


def repair(content: Content, fixes: Collection[str]) -> list[Finding]:
    """Repair every text of a row in place; return a finding for each fix that changed one, with the text as it was."""
    findings: dict[str, Finding] = {}

    def changed(text: str) -> str:
        right, names = repaired(text, fixes)
        for name in names:
            if name not in findings:
                same = next((at for at, (one, other) in enumerate(zip(text, right, strict=False)) if one != other), 0)
                findings[name] = Finding(f"repaired_{name}", excerpt(text[max(0, same - 40) :]))
        return right

    content.change(changed)
    return list(findings.values())


def repaired(text: str, fixes: Collection[str] = FIXES) -> tuple[str, list[str]]:
    """`text` as it was meant, and the names of the `fixes` that changed it; they are done in the order of `FIXES`.

    Half a surrogate pair stays where it is, for nobody knows what it was; such a row must leave (`bad_unicode`).
    """
    if text.isascii() and not _has_controls(text):
        return text, []
    names: list[str] = []
    for name in FIXES:
        if name in fixes and (right := _STEPS[name](text)) != text:
            text = right
            names.append(name)
    return text, names


def garbled_at(text: str) -> int | None:
    """Where `text` still looks garbled after `repaired`: mojibake amid sound letters, or lost characters (U+FFFD)."""
    if text.isascii():
        return None
    if (lost := text.find("\ufffd")) >= 0:
        return lost
    if not _TWO_BYTES.search(text):
        return None
    from ftfy.badness import BADNESS_RE

    bad = BADNESS_RE.search(text)
    return bad.start() if bad else None


def _has_controls(text: str) -> bool:
    """Whether an ASCII text has control characters; in bytes, for that takes a tenth of a regular expression's time."""
    encoded = text.encode()
    return len(encoded.translate(None, _CONTROLS)) != len(encoded)


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


def _without_escapes(text: str) -> str:
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def _without_controls(text: str) -> str:
    return _INVISIBLE.sub("", text)


def _normalised(text: str) -> str:
    """`text` in the form NFC, which joins letters and their accents and changes nothing that can be seen."""
    return unicodedata.normalize("NFC", text)


_STEPS: dict[str, Callable[[str], str]] = {
    "mojibake": _read_right,
    "surrogate_pairs": _joined,
    "terminal_escapes": _without_escapes,
    "control_characters": _without_controls,
    "normalisation": _normalised,
}
