"""Secrets: keys of known forms, and what stands where a password or a token belongs, unless it is a placeholder."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.clean.privacy.forms import known

_BARE = r"""[^\s"'`,;<>&|]{6,200}"""
_VALUE = rf"""(?:"(?P<double>[^"\s]{{6,200}})"|'(?P<single>[^'\s]{{6,200}})'|`?(?P<bare>{_BARE}))"""
_GIVEN = r"""(?:\\?["'`])?(?:\s?(?:=>|:=|={1,3}|:)\s?|\s+(?:is|was|ist|est)\s+|>)\\?"""


@dataclass(frozen=True)
class _Rule:
    """Where a secret is given: the pattern matches where one of `words` stands, and ends in the value."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    shortest: int
    """Characters that the value has at least."""
    digits: int
    """Digits among them at least, for a word is seldom a secret."""


def _rule(words: str, pattern: str, shortest: int, digits: int) -> _Rule:
    return _Rule(tuple(words.split()), re.compile(pattern, re.IGNORECASE), shortest, digits)


_RULES = (
    # password=..., "password": "...", my password is ..., <password>..., --password ...
    _rule(
        "pass pwd contraseña",
        r"(?:password|passwort|passwd|passphrase|passcode|contraseña|(?<=mot de )passe|(?<=ssh)pass"
        r"|(?<![a-z])(?:pass|pwd))\d?"
        rf"(?:{_GIVEN}|(?<=--password)\s+|(?<=sshpass)\s+-p ?){_VALUE}",
        6, 1,
    ),
    # the same for tokens and keys, which are longer
    _rule(
        "token secret credential key",
        r"(?:token|secret|credentials?|(?:(?<=api)|(?<=(?:api|key)[ _-])|(?<=(?:access|secret)[ _-])"
        r"|(?<=private[ _-])|(?<=auth[ _-])|(?<=access)|(?<=secret)|(?<=private))key)(?:[_-]?(?:key|token|value))?\d?"
        rf"(?:{_GIVEN}|(?<=--token)\s+|(?<=_authToken)\s+){_VALUE}",
        16, 2,
    ),
    # HTTP authorisation (RFC 6750, RFC 7617)
    _rule("bearer authorization", r"(?:bearer|authorization: *(?:basic|token))\s+(?P<bare>[\w.~+/-]{16,}=*)", 16, 2),
    # options of commands
    _rule("login twine", rf"\w+\b[^\n|]{{0,120}}?\s-p[ =]?{_VALUE}", 6, 1),
    _rule("mysql mariadb", rf"(?:mysql|mysqldump|mysqladmin|mariadb)\b[^\n|]{{0,120}}?\s-p(?!\s){_VALUE}", 6, 1),
    _rule(
        "curl",
        rf"curl\b[^\n|]{{0,200}}?\s(?:-u|--user)[ =]?[\"']?[^\s:\"']{{1,64}}:(?P<bare>{_BARE})",
        6, 1,
    ),
)  # fmt: skip

ANNOUNCING = tuple(dict.fromkeys(word for rule in _RULES for word in rule.words))
"""Words of which one stands, in whatever case, before every secret that is told by where it is given."""

_ADDRESS = re.compile(r"://[^\s:/@\"'<>]{0,64}:(?P<bare>[^\s/@\"'<>]{3,200})@(?=[\w\[])")
"""User and password in an address (RFC 3986, section 3.2.1)."""

_DIGIT, _LONG = re.compile("[0-9]"), re.compile("[A-Za-z0-9_-][A-Za-z0-9_-]{19}")

_PLACEHOLDER = re.compile(
    r"^[$%@]|\$[({]|\$[A-Z_]{3}|\{\{|%[sd(]|[<>{}]|\*\*\*|xxx|XXX|\.\.\.|…|EXAMPLE|^env[.:]|process\.env|environ|getenv"
    r"|^vault:|^/|^\.{1,2}/|\.(?:txt|json|ya?ml|pem|key|env|py|js|ts|sh|conf|cfg|ini|toml|md|html?)$|0{8}|12345678"
)
"""What stands in place of a value, or says where it is read from."""

_FILLER = re.compile(r"x{4}|X{4}|\*{3}|\.{3}|…|[<>{}]|EXAMPLE|0{8}|12345678")
"""What stands in a key for letters that are left out; three x are in a long random key now and then."""

_WORDS = re.compile(
    r"changeme|change|example|password|passwort|passwd|passw|pass|secret|secure|token|your|here|insert|replace|enter|"
    r"sample|dummy|placeholder|default|value|string|test|testing|demo|foo|bar|baz|admin|root|user|username|postgres|"
    r"mysql|mongo|redis|guest|docker|api|key|abc|qwerty|hello|world|some|strong|random|none|null|true|false|hidden|"
    r"redacted|removed|required|optional|the|my|db|pw|pwd"
)

_IDENTIFIER = re.compile(r"[a-z]+(?:[_.-][a-z]*\d{0,2}[a-z]*){1,}|[a-z]+(?:[A-Z][a-z]+)+\d?|[A-Z]+(?:_[A-Z]*\d{0,2})+")
"""A name in a program: words joined by `_`, `.` or `-`, or camelCase."""


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every secret in `text`."""
    if max(map(len, text.split()), default=0) >= 20 and _LONG.search(text):
        for start, end in known(text):
            if not _FILLER.search(text, start, end):
                yield start, end
    if "://" in text:
        for match in _ADDRESS.finditer(text):
            if _is_chosen(match["bare"]):
                yield match.span("bare")
    if _DIGIT.search(text):
        yield from _given(text)


def _given(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of what is given as a password, a token, a key."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        lower = "".join(letter.lower()[0] for letter in text)
    for rule in _RULES:
        for word in rule.words:
            at = lower.find(word)
            while at >= 0:
                if match := rule.pattern.match(text, at):
                    start, end, quoted = _value(match, text)
                    code = text[end : end + 1] in ("(", "[")
                    if end - start >= rule.shortest and not code and _is_secret(text[start:end], rule.digits, quoted):
                        yield start, end
                at = lower.find(word, at + len(word))


def _value(match: re.Match[str], text: str) -> tuple[int, int, bool]:
    """Start and end of what was given, without what ends a sentence or a call; and whether it stood in quotes."""
    groups = match.groupdict()
    for name in ("double", "single"):
        if groups.get(name):
            start, end = match.span(name)
            return start, end - text[start:end].endswith("\\"), True
    start, end = match.span("bare")
    while end > start and text[end - 1] in ".:)]}\\":
        end -= 1
    return start, end, False


def _is_secret(value: str, digits: int, quoted: bool) -> bool:
    """Whether a value given as a secret is one: of letters and digits (so no word), no placeholder, no code."""
    if sum(letter.isdigit() for letter in value) < digits or not any(letter.isalpha() for letter in value):
        return False
    if not quoted and ("(" in value or "[" in value):
        return False
    return _is_chosen(value) and not _IDENTIFIER.fullmatch(value)


def _is_chosen(value: str) -> bool:
    """Whether somebody chose the value, rather than writing what stands for one."""
    if _PLACEHOLDER.search(value) or len(set(value)) < 4:
        return False
    letters = re.sub(r"[^a-z]", "", value.lower())
    return len(_WORDS.sub("", letters)) >= 3
