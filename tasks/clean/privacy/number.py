"""Cards, bank accounts and addresses on the net: numbers with a rule to check them by."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_network

from stdnum import iban, luhn

# patterns begin with one set of letters, without a look behind: so `re` skips to the first of them quickly
_CARD = re.compile(
    r"[0-9][0-9]{3}(?:[0-9]{9,15}|([ -])[0-9]{4}(?:\1[0-9]{4}){2}|([ -])[0-9]{6}\2[0-9]{4,5})(?![\w/-]|[.,][0-9])"
)

_ISSUER = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
    r"|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14}"
)
"""First digits and lengths of Visa, Mastercard, American Express, Discover, JCB, Diners and UnionPay (ISO/IEC 7812)."""

_ACCOUNT = re.compile(r"[A-Z][A-Z][0-9]{2}(?: ?[A-Z0-9]){11,34}")

_FOUR = re.compile(r"[0-9][0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9]|-[A-Za-z])(?:/([0-9]{1,2})(?![0-9]))?")

_DOTTED = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")

_SIX = re.compile(r"[23][0-9a-fA-F]{3}:(?:[0-9a-fA-F]{0,4}:){1,6}[0-9a-fA-F]{0,4}(?![\w:])")
"""Addresses of the net as a whole are in 2000::/3 (RFC 4291)."""

_NAME = re.compile(r"[A-Za-z][:-]\Z")

_VERSION = re.compile(
    r"(?:\b(?:version|release|build|firmware|upgrad\w*|updat\w*|section|chapter|clause)\b[^\n]{0,24}"
    r"|\bv\.?\s?|§\s?|[\w)]/|[=<>~!]=\s?)\Z",
    re.IGNORECASE,
)
"""What stands before a version or the number of a section, which can look like an address."""

KNOWN = frozenset(
    ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220"]
)
"""Public name servers that everybody names."""

_MADE_UP = re.compile(r"(\d+)\.\1\.\1\.\1|1\.2\.3\.[45]|2\.3\.4\.5|4\.3\.2\.1|5\.6\.7\.8")
"""What people write for any address."""


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of payment cards' numbers: an issuer's first digits, its length, and the last digit right."""
    for match in _CARD.finditer(text):
        if _continues(text, match.start(), ".,+/-"):
            continue
        digits = re.sub("[ -]", "", match[0])
        if _ISSUER.fullmatch(digits) and luhn.is_valid(digits):
            yield match.span()


def accounts(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of international bank account numbers (ISO 13616): length by country, check digits right."""
    for match in _ACCOUNT.finditer(text):
        start, end = match.span()
        if _continues(text, start):
            continue
        while end - start >= 15:
            whole = end == len(text) or not text[end].isalnum()
            if whole and iban.is_valid(text[start:end], check_country=False):
                yield start, end
                break
            end -= 1


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of addresses that one machine on the internet has.

    Private, local and reserved ones (RFC 1918, 5737, 3849), networks, and public name servers are nobody's.
    """
    for match in _FOUR.finditer(text) if text.count(".") > 2 and _DOTTED.search(text) else ():
        start, (dotted, _, prefix) = match.start(), match[0].partition("/")
        if _continues(text, start, ".") or dotted in KNOWN or _MADE_UP.fullmatch(dotted):
            continue
        if _is_tag(text, start, dotted) or _VERSION.search(text, max(0, start - 40), start):
            continue
        try:
            address = IPv4Address(dotted)
        except AddressValueError:
            continue
        if address.is_global and not address.is_multicast and not (prefix and _is_network(match[0])):
            yield match.span()
    for match in _SIX.finditer(text) if text.count(":") > 2 else ():
        try:
            if not _continues(text, match.start(), ":.") and IPv6Address(match[0]).is_global:
                yield match.span()
        except AddressValueError:
            continue


def _is_tag(text: str, start: int, dotted: str) -> bool:
    """Whether a name goes before: always where a dash joins them, and with a colon where all four numbers are low."""
    name = _NAME.search(text, max(0, start - 2), start)
    return name is not None and (name[0].endswith("-") or all(int(part) < 32 for part in dotted.split(".")))


def _is_network(text: str) -> bool:
    """Whether an address with a length of prefix is a network of many machines."""
    try:
        return ip_network(text).num_addresses > 1
    except ValueError:
        return False


def _continues(text: str, start: int, joined: str = "") -> bool:
    """Whether what begins at `start` goes on from a letter, a digit, or one of the marks `joined`."""
    before = text[start - 1 : start] if start else ""
    return before.isalnum() or before == "_" or (before != "" and before in joined)
