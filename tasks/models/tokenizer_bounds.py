"""What a tokenizer may do to a text, checked before it is trusted with rows: grow it, search in it for ever, break.

    with foreign(folder):
        patterns = check_file(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        try_out(tokenizer, patterns, folder)

The library tokenizers works in Rust, which ends the process where memory runs out and asks nobody how long it may take.
So what its file asks for is added up before anything is built, and it is tried on difficult texts in a process apart.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.bounds.child import in_child
from tasks.bounds.patterns import difficult_texts
from tasks.core.errors import ModelError, TemperError
from tasks.core.files import fingerprint, sha256
from tasks.core.json_files import read_object

FILE = "tokenizer.json"

GROWTH = 20
"""Characters that a normalizer may make of one, and tokens that a byte may become."""

UNICODE = 18
"""Characters that Unicode's own compatibility form makes of one (U+FDFA), which no rule of a normalizer adds to."""

AFFIX, WORD = 64, 1000
"""Characters of a prefix or suffix of the parts of words, and of the longest word that WordPiece takes apart: the time
for a word grows with the third power of them."""

EXTRA = 64
"""Tokens that may be put around a text."""

SECONDS = 20.0
"""Of computing for all difficult texts; usual tokenizers take less than one."""

ZERO_WIDTH = re.compile(r"\\[bBGK]|\(\?<?[=!]")
"""What lets a regular expression match between two characters, and not in an empty text."""

SOURCES = ("*.json", "*.txt", "*.model", "vocab*")
"""Files that a tokenizer is made of."""

_tried: set[str] = set()
"""Tokenizers that have read the difficult texts in this process, by their `_identity`."""

SAMPLE = "Two words, 1,234.5 \u00e9t\u00e9 \u4e2d\u6587 \u0639\u0631\u0628\u064a \ufdfa \U0001f600\n\n\tend  "


def check_file(folder: Path) -> list[str]:
    """Return the patterns that tokenizer.json in `folder` searches texts for; none where there is no such file.

    Raises `ModelError` where it is no such file, or asks for texts that grow to more than `GROWTH` times their length.
    """
    file = folder / FILE
    if not file.exists():
        return []
    described = read_object(file, ModelError, "the tokenizer cannot be loaded; restore it")
    for part, name in ((described.get("normalizer"), "normalizer"), (described.get("decoder"), "decoder")):
        factor, extra = _growth(part)
        if factor + extra > GROWTH:
            raise ModelError(
                f"{file}: the {name} makes up to {factor + extra:,.0f} characters out of one, more than {GROWTH}; "
                "restore the file."
            )
    model = described.get("model")
    if isinstance(model, dict):
        for key in ("continuing_subword_prefix", "end_of_word_suffix"):
            if isinstance(affix := model.get(key), str) and len(affix) > AFFIX:
                raise ModelError(f"{file}: model.{key} has {len(affix):,} characters, more than {AFFIX}; restore it.")
        longest = model.get("max_input_chars_per_word")
        if isinstance(longest, int) and longest > WORD:
            raise ModelError(f"{file}: model.max_input_chars_per_word = {longest}, more than {WORD:,}; restore it.")
    steps = (described.get(part) for part in ("normalizer", "pre_tokenizer", "decoder"))
    return sorted({text for part in steps for step in _steps(part) for text in _pattern(step)})


def try_out(tokenizer: Any, patterns: list[str], folder: Path) -> None:
    """Have `tokenizer` (transformers') read texts that its `patterns` find difficult, apart from this process.

    One that is made of the same files as another that has read them is not tried again. Raises `ModelError` where it
    breaks on one, takes too much time or memory, or makes far more of it than it was.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # one written in Python
        return
    identity = _identity(tokenizer, folder)
    if identity in _tried:
        return

    def refuse(why: str) -> TemperError:
        return ModelError(
            f"{folder}: the tokenizer, loaded as a {type(tokenizer).__name__}, cannot read texts ({why.rstrip('.')}); "
            f"restore {FILE} and tokenizer_config.json, which names its class (tokenizer_class)."
        )

    def read() -> None:
        backend.no_padding()
        backend.no_truncation()
        around = len(backend.encode("a", add_special_tokens=True).ids)
        if around > EXTRA:
            raise refuse(f"it turns one letter into {around:,} tokens")
        for text in (SAMPLE * 20, *(text for pattern in patterns for text in _texts(pattern))):
            ids = backend.encode(text, add_special_tokens=False).ids
            if len(ids) > GROWTH * len(text.encode()):
                raise refuse(f"it turns {len(text):,} characters, such as {text[:6]!r}, into {len(ids):,} tokens")
            if len(decoded := backend.decode(ids, skip_special_tokens=False)) > GROWTH * (len(text) + len(ids)):
                raise refuse(f"it decodes {len(text):,} characters, such as {text[:6]!r}, as {len(decoded):,}")

    in_child(read, SECONDS, refuse)
    if identity:
        _tried.add(identity)


def _identity(tokenizer: Any, folder: Path) -> str:
    """The tokenizer's class and way of loading, and the files that it is made of; "" where another file may count."""
    if not (folder / FILE).is_file() or any(folder.glob("*.gguf")):
        return ""
    files = sorted({file for pattern in SOURCES for file in folder.glob(pattern) if file.is_file()})
    mended = getattr(tokenizer.backend_tokenizer, "fix_mistral_regex", None)  # set by transformers
    return fingerprint([type(tokenizer).__name__, mended, {file.name: sha256(file) for file in files}])


def _texts(pattern: str) -> Iterator[str]:
    """Texts in which the pattern stands many times, or nearly; each with its own letters at the end, for Rust's library
    does not look for what ends in a letter that is not there."""
    yield (pattern + " ") * 40
    for text in difficult_texts(pattern):
        yield text + pattern


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or decoder, sequences taken apart; other values are the library's."""
    if not isinstance(part, dict):
        return
    inner = next((part[key] for key in ("normalizers", "pretokenizers", "decoders") if key in part), None)
    if isinstance(inner, list):
        for each in inner:
            yield from _steps(each)
    else:
        yield part


def _pattern(step: dict[str, Any]) -> Iterator[str]:
    pattern = step.get("pattern")
    values = pattern.values() if isinstance(pattern, dict) else (pattern,)
    yield from (value for value in values if isinstance(value, str))


def _growth(part: Any) -> tuple[float, float]:
    """Characters that may come of each character, and how many more of a whole text."""
    factor, extra = 1.0, 0.0
    for step in _steps(part):
        kind = step.get("type")
        if kind == "Replace":
            grows = _replaced(step)
            factor, extra = min(factor * grows, 1e30), min(extra * grows, 1e30)
        elif kind == "Prepend":
            extra += len(str(step.get("prepend", "")))
        elif kind == "Precompiled":
            grows = max(1.0, _longest(str(step.get("precompiled_charsmap") or "")) / UNICODE)
            factor, extra = factor * grows, extra * grows
    return factor, extra


def _replaced(step: dict[str, Any]) -> float:
    """By what a replacement lets a text grow: at most what is put in for each character that is taken out."""
    pattern, content = step.get("pattern"), step.get("content")
    size = len(content) if isinstance(content, str) else 0
    text = pattern.get("String") if isinstance(pattern, dict) else None
    if isinstance(text, str) and text:
        return max(1.0, size / len(text))
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(expression, str) and not _matches_nothing(expression):
        return max(1.0, float(size))
    return 1.0 + size


def _matches_nothing(expression: str) -> bool:
    """Whether it may match an empty text, or between two characters; so too where Python cannot tell."""
    try:
        return bool(ZERO_WIDTH.search(expression)) or re.compile(expression).search("") is not None
    except (re.error, RecursionError, OverflowError):
        return True


def _longest(charsmap: str) -> int:
    """Characters of the longest text that sentencepiece's table puts in for another; after the table of their places
    come the texts, each ended by a zero."""
    try:
        raw = base64.b64decode(charsmap, validate=True)
    except (binascii.Error, ValueError):
        return 0  # for the library to refuse
    texts = raw[4 + int.from_bytes(raw[:4], "little") :].split(b"\0")
    return max(len(text.decode(errors="replace")) for text in texts)
