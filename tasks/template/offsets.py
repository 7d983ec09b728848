"""Which token of a text a character is in, and the proof that the tokens are the text."""

import re
from array import array
from collections.abc import Iterable
from collections.abc import Sequence as Rows
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

Span = tuple[int, int]

_SEEN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_UNSEEN = {256 + number: byte for number, byte in enumerate(sorted(set(range(256)) - set(_SEEN)))}
"""Bytes that byte-level tokenizers write as characters from 256 on, for these can be seen (as GPT-2's does)."""
_BYTES = re.compile(f"[{re.escape(''.join(map(chr, [*_SEEN, *_UNSEEN])))}]*")
_UNMET = -1
_AT_ONCE = 2**16
"""Tokens whose bytes are looked at together: what bounds the memory."""


class TokenBytes:
    """The bytes for which each token of a byte-level tokenizer stands, learned as they are met."""

    def __init__(self, rust: Any) -> None:
        self._rust = rust
        self.lengths = np.full(rust.get_vocab_size(), _UNMET, np.int64)
        """How many they are, of the tokens that were met."""
        self._starts = np.zeros_like(self.lengths)
        self._content = np.zeros(0, np.uint8)
        """The bytes of all tokens that were met, one behind the other; `_starts`: where those of each begin."""

    def are(self, rows: Rows[Any], texts: Rows[str]) -> list[bool]:
        """Whether the tokens (T, int32) of each row, one behind the other, are its text, byte for byte."""
        if not rows:
            return []
        tokens = np.concatenate(rows)
        self._learn(tokens)
        meant = [text.encode() for text in texts]
        sizes = np.cumsum(self.lengths[tokens], dtype=np.int64)
        ends = np.concatenate(([0], sizes))[np.cumsum([0, *map(len, rows)])]
        alike = np.array_equal(np.diff(ends), list(map(len, meant)))
        if alike and self._of(tokens) == b"".join(meant):
            return [True] * len(texts)
        return [self._of(row) == one for row, one in zip(rows, meant, strict=True)]

    def _of(self, tokens: Any) -> bytes:
        """What the tokens, all of which were met, stand for; some of them at a time, for there may be many."""
        return b"".join(self._gather(tokens[at : at + _AT_ONCE]) for at in range(0, len(tokens), _AT_ONCE))

    def _gather(self, tokens: Any) -> bytes:
        lengths = self.lengths[tokens]
        ends = np.cumsum(lengths)
        places = np.repeat(self._starts[tokens] - ends + lengths, lengths) + np.arange(lengths.sum())
        content: bytes = self._content[places].tobytes()
        return content

    def _learn(self, tokens: Any) -> None:
        """Meet the tokens that were not met before."""
        most = int(tokens.max(initial=-1))
        if most >= len(self.lengths):  # some vocabularies leave numbers out
            self.lengths = np.concatenate((self.lengths, np.full(most, _UNMET)))
            self._starts = np.concatenate((self._starts, np.zeros(most, np.int64)))
        new = np.unique(tokens[self.lengths[tokens] == _UNMET])
        if not len(new):
            return
        names = [self._rust.id_to_token(token) for token in new.tolist()]
        whole = "".join(names)
        if _BYTES.fullmatch(whole):  # a character stands for a byte
            content, lengths = _bytes_of(whole), list(map(len, names))
        else:
            each = [_bytes_of(name) for name in names]
            content, lengths = b"".join(each), list(map(len, each))
        self.lengths[new] = lengths
        self._starts[new] = len(self._content) + np.cumsum([0, *lengths])[:-1]
        self._content = np.concatenate((self._content, np.frombuffer(content, np.uint8)))


def _bytes_of(name: str) -> bytes:
    """What a byte-level decoder makes of a token: it is its own text where it is no row of such bytes."""
    return name.translate(_UNSEEN).encode("latin-1") if _BYTES.fullmatch(name) else name.encode()


class CharacterOffsets:
    """By the offsets that the tokenizer gives, for a text some of whose control tokens were one character when encoded.

    These may be off beside spaces, for some tokenizers drop or add one: what is trained is still to be decoded.
    """

    exact = False
    """Whether the tokens are known to be the text, byte for byte."""

    def __init__(self, encoding: Any, moved: list[Span] | None = None) -> None:
        self._encoding = encoding
        self._moved = moved or [(0, 0)]
        self._length = len(encoding.ids)

    def within(self, tokens: list[int], spans: Rows[Span]) -> bool:
        """Whether each of the tokens lies in one of the spans of characters, both ascending. Not for moved texts."""
        return _inside(map(self._encoding.token_to_chars, tokens), spans)

    def edges(self, characters: list[int]) -> list[tuple[int, bool]]:
        """For each character the first token that starts at or behind it, and whether none lies across that edge."""
        return [self._edge(character) for character in characters]

    def _edge(self, character: int) -> tuple[int, bool]:
        at = self._shifted(character)
        for candidate in range(at, at + 64):
            token = self._encoding.char_to_token(candidate)
            if token is not None:
                break
        else:
            token = self._length
        if token < self._length and self._encoding.token_to_chars(token)[0] < at:
            return token + 1, False
        return token, True

    def _shifted(self, character: int) -> int:
        before, after = max(pair for pair in self._moved if pair[0] <= character)
        return after + character - before


class ByteOffsets:
    """By the bytes of each token, for tokens that are those of the text one behind the other."""

    exact = True

    def __init__(self, text: str, starts: Any) -> None:
        """`starts`: the byte at which each token starts, and the end of the last."""
        self._text = text
        self._starts = starts

    def within(self, tokens: list[int], spans: Rows[Span]) -> bool:
        """As `CharacterOffsets.within`."""
        if not tokens:
            return True
        places = np.array(tokens)
        mine = zip(self._starts[places].tolist(), self._starts[places + 1].tolist(), strict=True)
        if not self._text.isascii():
            spans = self._widths[np.array(spans, np.int64).reshape(-1, 2)].tolist()
        return _inside(mine, spans)

    def edges(self, characters: list[int]) -> list[tuple[int, bool]]:
        """As `CharacterOffsets.edges`."""
        if not characters:
            return []
        at = np.array(characters, np.int64)
        if not self._text.isascii():
            at = self._widths[at]
        tokens = self._starts.searchsorted(at)
        return list(zip(tokens.tolist(), (self._starts[tokens] == at).tolist(), strict=True))

    @cached_property
    def _widths(self) -> Any:
        codes = np.frombuffer(self._text.encode("utf-32-le", "surrogatepass"), np.uint32)
        widths = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)
        return np.concatenate(([0], np.cumsum(widths)))


def _inside(tokens: Iterable[Span], spans: Rows[Span]) -> bool:
    """Whether each of the tokens lies in one of the spans, both ascending."""
    at, most = 0, len(spans)
    for start, end in tokens:
        while at < most and spans[at][1] < end:
            at += 1
        if at == most or start < spans[at][0]:
            return False
    return True


class TokenizedText(NamedTuple):
    """A text as tokens, with the offsets of its characters."""

    tokens: Any
    """Their ids, an array (T, int32)."""
    offsets: CharacterOffsets | ByteOffsets
    controls: list[int]
    """Places of the control tokens among them."""


def id_array(ids: list[int]) -> Any:
    """Token ids as an array (int32)."""
    return np.array(array("i", ids), np.int32)  # twice as fast as from a list
