"""Ways to reach a person: e-mail addresses and telephone numbers."""

import re
from collections.abc import Iterator, Sequence

_LOCAL = re.compile(r"[\w.+'%-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:[^\W\d_]{2,24}|xn--[\w-]{2,59})(?![\w-]|\.\w)")

_RESERVED = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost|local|internal)|(?:.*\.)?example\.(?:com|net|org|edu)"
    r"|(?:.*\.)?(?:your|my)[\w-]*\.\w+|(?:domain|company)\.(?:com|org|net)",
    re.IGNORECASE,
)
"""Domains in which nobody has an address (RFC 2606, RFC 6762), and those that stand for one's own."""

_FILES = frozenset(["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "html", "txt", "yml", "yaml"])
"""Ends of names of files, such as `logo@2x.png`."""

_ESCAPED = re.compile(r"(?<=\\)(?:u[0-9a-f]{4}|[nrt])", re.IGNORECASE)
"""What a text in JSON has before an address for `<` or the end of a line."""

_COMMAND = re.compile(r"\b(?:ssh|scp|sftp|rsync|ssh-copy-id)\b[^\n,;]{0,60}\Z")
_LOGIN = re.compile(r"://[^/\s?#]*\Z")

_RUN = re.compile(r"[0-9](?:[ ().\-/\xa0]{0,3}+[0-9]){6,}+")
"""Digits in a row, with what can stand between those of a telephone number."""

_DATE = re.compile(r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d|\d+\.?\d+(?!\S*[ ().\-/\xa0]\d)")
"""Dates, and numbers without anything between their digits."""

_SUM = re.compile(r"[0-9)]\s{0,2}\Z")
"""What stands before a `+` that adds."""

_NOT_BEFORE = frozenset("_$€£")

_NAMED = re.compile(
    r"(?:\b(?:phone|tel|telephone|mobile|mobil|cell|fax|whatsapp|sms|call|dial|text|ring|contact|handy|telefon|"
    r"téléphone|telefoon|teléfono|hotline)\w*)[^\n\d]{0,32}\Z",
    re.IGNORECASE,
)
"""Words before a number that make it one of a telephone."""


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of e-mail addresses; not of logins (`git@github.com:`), handles, or reserved domains."""
    at = text.find("@")
    while at >= 0:
        if span := _email(text, at):
            yield span
        at = text.find("@", at + 1)


def _email(text: str, at: int) -> tuple[int, int] | None:
    local, domain = _LOCAL.search(text, max(0, at - 64), at), _DOMAIN.match(text, at + 1)
    if not local or not domain:
        return None
    start, end = local.start(), domain.end()
    if escaped := _ESCAPED.match(text, start, at):
        start = escaped.end()
    while start < at and not text[start].isalnum():
        start += 1
    if start == at or text[at - 1] == "." or text[start - 1 : start] in ("@", "/"):
        return None
    name = domain[0].lower()
    if _RESERVED.fullmatch(name) or name.rpartition(".")[2] in _FILES or text[start:at] == "git":
        return None
    before = slice(max(0, start - 80), start)
    if _LOGIN.search(text[before]) or _COMMAND.search(text[before]) or re.match(r":[\w~/]*/", text[end : end + 64]):
        return None
    return start, end


def phones(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Start and end of telephone numbers that are in use by the plans of their countries (libphonenumber).

    With a `+` anywhere; else as a country of `regions` writes them, or after a word such as phone.
    """
    for run in _RUN.finditer(text):
        start = run.start()
        named = _NAMED.search(text, max(0, start - 60), start) is not None
        while start and text[start - 1] in "+(":
            start -= 1
        before, international = text[start - 1 : start], "+" in text[start : run.start()]
        if before.isalnum() or before in _NOT_BEFORE or (international and _SUM.search(text, max(0, start - 3), start)):
            continue
        if named or international or not _DATE.match(run[0]):
            for first, end in _phones(text[start : run.end() + 3], regions, named):
                yield start + first, start + end


def _phones(text: str, regions: Sequence[str], named: bool) -> Iterator[tuple[int, int]]:
    """Numbers in a few characters; `named`: a word such as phone goes before."""
    from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

    for region in regions or (None,):
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
            if not named and "+" not in text[max(0, match.start - 2) : match.start + 1]:
                written = re.findall(r"\d+", format_number(match.number, PhoneNumberFormat.NATIONAL))
                if len(written) < 2 or re.findall(r"\d+", match.raw_string) != written:
                    continue
            yield match.start, match.end
