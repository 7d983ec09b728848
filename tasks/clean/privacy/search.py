"""Private values in a text, and the text without them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from tasks.clean.privacy.contact import emails, phones
from tasks.clean.privacy.finding import KINDS, Finding, Kind
from tasks.clean.privacy.number import accounts, addresses, cards
from tasks.clean.privacy.secret import secrets

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
