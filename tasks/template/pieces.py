"""Texts to token ids piece by piece, so that what rows share is encoded once: system prompts, tools, heads of turns.

The Rust tokenizer cuts a text at its added tokens and encodes each piece between them for itself. With the patterns in
`WORDS` it may be cut behind an empty line, too, where a letter or a brace follows: no match of theirs holds the end of
a line and what stands on the next, none looks back, and whatever ends in two line feeds ends a match.

What the template itself writes in one place of a row is the same in many rows. It is cut once, and from its first
control token to its last it is one piece of each of them.
"""

import json
import re
from array import array
from collections.abc import Iterator
from collections.abc import Sequence as Rows
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tasks.template.offsets import Span, TokenBytes

_SUFFIXES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_HEAD, _TAIL = r"[^\r\n\p{L}\p{N}]?", r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASES = rf"{_HEAD}{_UPPER}*{_LOWER}+{_SUFFIXES}?|{_HEAD}{_UPPER}+{_LOWER}*{_SUFFIXES}?"

WORDS = frozenset(
    {
        rf"{_SUFFIXES}|{_HEAD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_TAIL}",  # GPT-4, Llama 3
        rf"{_SUFFIXES}|{_HEAD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_TAIL}",  # Qwen 2 and 3
        rf"{_SUFFIXES}|{_HEAD}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*{_TAIL}",  # Qwen 3.5
        rf"{_CASES}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_TAIL}",  # GPT-4o, gpt-oss
        rf"{_CASES}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_TAIL}".replace(f"{_SUFFIXES}?", ""),  # Mistral's Tekken
    }
)
"""Patterns by which tokenizers cut texts into words."""

MOST, LARGEST = 20_000, 2**22
"""Pieces that are kept, and their characters."""

_EMPTY_LINE = re.compile(r"\n\n(?=[A-Za-z{])")


class _Own(NamedTuple):
    """What a template writes in one place."""

    start: int
    end: int
    """Characters of its first control token's beginning, and of its last one's end."""
    inner: str
    """What stands between the two; empty where there is no control token."""


class PieceEncoder:
    """A byte-level tokenizer, and the pieces that it knows."""

    def __init__(self, rust: Any, token_bytes: TokenBytes) -> None:
        """`token_bytes`: what each token of `rust` stands for."""
        self._rust = rust
        self._bytes = token_bytes
        added = list(rust.get_added_tokens_decoder().values())
        parts = _pre_tokenizers(rust)
        self.exact = bool(
            parts is not None
            and rust.truncation is None
            and rust.padding is None
            and not rust.encode_special_tokens
            and not getattr(rust.model, "dropout", None)
            and not any(token.lstrip or token.rstrip or token.single_word for token in added)
        )
        """Whether pieces one behind the other are the text, by what the tokenizer is made of."""
        cuts = sorted((token.content for token in added if not token.normalized), key=len, reverse=True)
        self._added = re.compile(f"({'|'.join(map(re.escape, cuts)) or '(?!)'})")
        self._apart = _stand_apart(cuts)
        self._lines = (
            _patterns(parts or []) <= WORDS
            and _kind(rust.normalizer) in (None, "NFC")
            and not any("\n" in token.content for token in added)
        )
        self._known: dict[str, Any] = {}
        self._own: dict[str, _Own] = {}
        self._inner: dict[str, list[str]] = {}
        """The pieces of what a template writes between two control tokens, both included."""
        self._size = 0

    def encode(self, texts: Rows[str], own: Rows[Rows[Span]], guard: AbstractContextManager[None]) -> list[Any]:
        """The ids of each text (T, int32); None for one with a piece that its tokens are not, byte for byte.

        `own`: for each text the spans of characters, ascending, that its template wrote. The tokenizer is called within
        `guard`.
        """
        if self._size > LARGEST or len(self._known) > MOST:
            for kept in (self._known, self._own, self._inner):
                kept.clear()
            self._size = 0
        rows = [list(self._cut(text, spans)) for text, spans in zip(texts, own, strict=True)]
        known, inner = self._known, self._inner
        missing = dict.fromkeys(piece for row in rows for piece in row if piece not in known)
        parts = (part for piece in missing for part in inner.get(piece, (piece,)))
        self._learn(list(dict.fromkeys(part for part in parts if part not in known)), guard)
        for piece in missing:
            if piece not in known:
                known[piece] = _joined([known[part] for part in inner[piece]])
                self._size += len(piece)
        return [_joined([known[piece] for piece in row]) for row in rows]

    def _learn(self, pieces: list[str], guard: AbstractContextManager[None]) -> None:
        """Encode pieces that were not met before."""
        with guard:
            lists = [one.ids for one in self._rust.encode_batch_fast(pieces, add_special_tokens=False)]
        flat = array("i")
        for ids in lists:
            flat.fromlist(ids)
        tokens = np.array(flat, np.int32)  # twice as fast as from a list
        ends = np.cumsum([0, *map(len, lists)]).tolist()
        encoded = [tokens[start:end] for start, end in pairwise(ends)]
        for piece, ids, exact in zip(pieces, encoded, self._bytes.are(encoded, pieces), strict=True):
            self._known[piece] = ids if exact else None
            self._size += len(piece)

    def _cut(self, text: str, own: Rows[Span]) -> Iterator[str]:
        """The pieces of a text, one behind the other."""
        at = 0
        for start, end in own if self._apart else ():
            written = text[start:end]
            known = self._own.get(written) or self._note(written)
            if known.inner and start >= at:
                yield from self._between(text[at : start + known.start])
                yield known.inner
                at = start + known.end
        yield from self._between(text[at:])

    def _note(self, written: str) -> _Own:
        """What the template writes in one place, cut once for all rows."""
        controls = [match.span() for match in self._added.finditer(written)]
        start, end = (controls[0][0], controls[-1][1]) if controls else (0, 0)
        known = self._own[written] = _Own(start, end, written[start:end])
        self._inner[known.inner] = list(self._between(known.inner))
        self._size += len(written)
        return known

    def _between(self, text: str) -> Iterator[str]:
        """The pieces of a text of which nothing is known."""
        for piece in self._added.split(text) if text else ():
            if self._lines and "\n\n" in piece:
                *before, last = _EMPTY_LINE.split(piece)
                yield from (f"{part}\n\n" for part in before)
                yield last
            elif piece:
                yield piece


def _joined(pieces: list[Any]) -> Any:
    if not pieces:
        return np.zeros(0, np.int32)
    return None if any(piece is None for piece in pieces) else np.concatenate(pieces)


def _stand_apart(tokens: list[str]) -> bool:
    """Whether each of the tokens is found in a text whatever stands around it, and in a part of the text that holds it.

    So it is where none is the beginning of another, and what they begin with stands within none.
    """
    begin = {token[:1] for token in tokens}
    return begin.isdisjoint("".join(token[1:] for token in tokens)) and not any(
        longer.startswith(token) for token, longer in pairwise(sorted(tokens))
    )


def _pre_tokenizers(rust: Any) -> list[dict[str, Any]] | None:
    """The parts of a pre-tokenizer that treats each piece alike, wherever it stands; None for one that may not."""
    if rust.pre_tokenizer is None:
        return None
    whole = json.loads(rust.pre_tokenizer.__getstate__())
    parts: list[dict[str, Any]] = whole["pretokenizers"] if whole["type"] == "Sequence" else [whole]
    if any(part["type"] not in ("Split", "ByteLevel", "Digits") or part.get("add_prefix_space") for part in parts):
        return None
    return parts


def _patterns(parts: list[dict[str, Any]]) -> set[str]:
    """What a pre-tokenizer cuts by; something that is in no list where that is no regex that keeps all as words."""
    if [part["type"] for part in parts] != ["Split", "ByteLevel"] or parts[1].get("use_regex", True):
        return {""}
    regex = parts[0]["pattern"].get("Regex", "")
    return {regex if parts[0]["behavior"] == "Isolated" and not parts[0]["invert"] else ""}


def _kind(part: Any) -> str | None:
    return None if part is None else str(json.loads(part.__getstate__())["type"])
