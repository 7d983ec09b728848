"""Texts to token ids piece by piece, so that what rows share is encoded once: system prompts, tools, heads of turns.

The Rust tokenizer cuts a text at its added tokens and encodes each piece between them for itself. With the patterns in
`WORDS` it may be cut behind an empty line, too, where a letter or a brace follows: no match of theirs holds the end of
a line and what stands on the next, none looks back, and whatever ends in two line feeds ends a match.
"""

import json
import re
from contextlib import AbstractContextManager
from typing import Any

from tasks.template.offsets import TokenBytes, id_array

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
        self._lines = (
            _patterns(parts or []) <= WORDS
            and _kind(rust.normalizer) in (None, "NFC")
            and not any("\n" in token.content for token in added)
        )
        self._known: dict[str, Any] = {}
        self._size = 0

    def encode(self, texts: list[str], guard: AbstractContextManager[None]) -> list[Any]:
        """The ids of each text (T, int32); None for one with a piece that its tokens are not, byte for byte.

        The tokenizer is called within `guard`.
        """
        if self._size > LARGEST or len(self._known) > MOST:
            self._known.clear()
            self._size = 0
        rows = [self._cut(text) for text in texts]
        known = self._known
        new = list(dict.fromkeys(piece for row in rows for piece in row if piece not in known))
        with guard:
            encodings = self._rust.encode_batch_fast(new, add_special_tokens=False)
        for piece, encoding in zip(new, encodings, strict=True):
            ids = encoding.ids
            known[piece] = id_array(ids) if self._bytes.are(ids, piece) else None
            self._size += len(piece)
        return [_joined([known[piece] for piece in row]) for row in rows]

    def _cut(self, text: str) -> list[str]:
        pieces = []
        for piece in self._added.split(text):
            if self._lines and "\n\n" in piece:
                *before, last = _EMPTY_LINE.split(piece)
                pieces += [f"{part}\n\n" for part in before]
                pieces.append(last)
            elif piece:
                pieces.append(piece)
        return pieces


def _joined(pieces: list[Any]) -> Any:
    import numpy as np

    if not pieces:
        return np.zeros(0, np.int32)
    return None if any(piece is None for piece in pieces) else np.concatenate(pieces)


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
