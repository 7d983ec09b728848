"""Private values in a text, and the text without them."""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import accumulate

from tasks.clean.privacy.contact import emails, phones
from tasks.clean.privacy.finding import KINDS, Finding, Kind
from tasks.clean.privacy.number import accounts, addresses, cards
from tasks.clean.privacy.secret import ANNOUNCING, secrets

REGIONS = ("US", "GB")
"""Countries whose numbers are known without a `+`, where nothing else is said."""

_SEARCHES: dict[Kind, Callable[[str], Iterator[tuple[int, int]]]] = {
    "secret": secrets,
    "iban": accounts,
    "card": cards,
    "email": emails,
    "ip": addresses,
}

_LONG = re.compile(r"[0-9](?:[ ().\-/\xa0]{0,3}+[0-9]){6}")
"""Seven digits with little between them: cards, accounts and telephones have them, most texts have not."""

_BETWEEN = "\0"


def _table(**classes: str) -> bytes:
    """A table for `bytes.translate`: for each letter of a class the name of the class, a space for every other byte."""
    return bytes(
        next((name.encode()[0] for name, members in classes.items() if chr(byte) in members), 32) if byte else 0
        for byte in range(256)
    )


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS, _SEPARATORS = _table(**{"0": "0123456789"}), b" ().-/\xc2\xa0"
_WORDS = _table(a=f"{_LETTERS}0123456789_-")
_DOTS, _COLONS = _table(**{".": "."}), _table(**{":": ":"})
_HEXADECIMAL = b"0123456789abcdefABCDEF"
_MARKS = (("@", False), ("://", False), *((word, True) for word in ANNOUNCING))
"""What a text with a private value has in small letters, and whether it has a digit then."""

_NUMBERS = frozenset(("iban", "card", "phone"))


def find(text: str, kinds: Collection[Kind] = KINDS, regions: Sequence[str] = REGIONS) -> list[Finding]:
    """Every private value of `kinds` in `text`, in order; none overlaps another.

    `regions`: two-letter codes of the countries whose telephone numbers are known without a `+`.
    """
    findings: list[Finding] = []
    taken = bytearray()
    long = _LONG.search(text) is not None
    for kind in KINDS:
        if kind in kinds and (long or kind not in _NUMBERS):
            spans = phones(text, regions) if kind == "phone" else _SEARCHES[kind](text)
            for start, end in spans:
                taken = taken or bytearray(len(text))
                if not any(taken[start:end]):
                    taken[start:end] = b"\1" * (end - start)
                    findings.append(Finding(start, end, kind))
    return sorted(findings, key=lambda finding: finding.start)


def suspects(texts: Sequence[str]) -> list[bool]:
    """Which of many texts `find` is to look at; it finds nothing in the others.

    All are looked through at once, as bytes, for what every private value has: a long number, a long word, an address,
    or a digit beside a word such as `password`. So a text that has none of it costs a twentieth of `find`.
    """
    joined = _BETWEEN.join(texts)
    lower = joined.lower()
    if joined.count(_BETWEEN) != len(texts) - 1 or len(lower) != len(joined):
        return [True] * len(texts)  # rare characters; where a text ends could not be told
    content = joined.encode("utf-8", "surrogatepass")
    digits, long, dotted, colons = (
        content.translate(table, without).split(_BETWEEN.encode())
        for table, without in ((_DIGITS, _SEPARATORS), (_WORDS, b""), (_DOTS, b"0123456789"), (_COLONS, _HEXADECIMAL))
    )
    flags = [
        b"0000000" in number or b"a" * 20 in word or b"..." in dots or b"::" in colon
        for number, word, dots, colon in zip(digits, long, dotted, colons, strict=True)
    ]
    ends = list(accumulate(len(text) + 1 for text in texts))
    for mark, needs_digit in _MARKS:
        at = lower.find(mark)
        while at >= 0:
            row = bisect_right(ends, at)
            flags[row] = flags[row] or not needs_digit or b"0" in digits[row]
            at = lower.find(mark, ends[row])
    return flags


def redacted(text: str, findings: Iterable[Finding], names: dict[str, str] | None = None) -> str:
    """`text` with a placeholder for each finding; `names`: the placeholders of a row, see `placeholders`."""
    findings = list(findings)
    if names is None:
        names = placeholders((finding.kind, text[finding.start : finding.end]) for finding in findings)
    for finding in reversed(findings):
        name = names[_plain(finding.kind, text[finding.start : finding.end])]
        text = f"{text[: finding.start]}{name}{text[finding.end :]}"
    return text


def placeholders(values: Iterable[tuple[Kind, str]]) -> dict[str, str]:
    """For the values of one row what stands for each: `[email]`, or `[email 1]`, `[email 2]` where several differ."""
    by_kind: dict[str, list[str]] = {}
    for kind, value in values:
        plain, known = _plain(kind, value), by_kind.setdefault(kind, [])
        if plain not in known:
            known.append(plain)
    return {
        plain: f"[{kind} {number}]" if len(known) > 1 else f"[{kind}]"
        for kind, known in by_kind.items()
        for number, plain in enumerate(known, 1)
    }


def _plain(kind: str, value: str) -> str:
    """The value as it counts for being the same: spaces and dashes apart, an address in any case."""
    if kind == "secret":
        return f"{kind} {value}"
    return f"{kind} {re.sub(r'[ ()-]', '', value).casefold()}"
