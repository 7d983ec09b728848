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
_SPACE = next(chr(character) for character, byte in _UNSEEN.items() if byte == ord(" "))
_BYTES = re.compile(f"[{re.escape(''.join(map(chr, [*_SEEN, *_UNSEEN])))}]*")


class TokenBytes(dict[int, bytes]):
    """The bytes for which each token of a byte-level tokenizer stands, learned as they are met."""

    def __init__(self, rust: Any) -> None:
        super().__init__()
        self._rust = rust
        self.lengths = np.zeros(rust.get_vocab_size(), np.int64)
        """How many they are, of the tokens that were met."""

    def __missing__(self, token: int) -> bytes:
        text: str = self._rust.id_to_token(token)
        spaced = text.replace(_SPACE, " ")
        if spaced.isascii() and spaced.isprintable() and " " not in text:  # of most of them only a space is unseen
            encoded = spaced.encode()
        else:  # as its decoder takes it: a token is its own text where it is no row of such bytes
            encoded = text.translate(_UNSEEN).encode("latin-1") if _BYTES.fullmatch(text) else text.encode()
        self[token] = encoded
        if token >= len(self.lengths):  # some vocabularies leave numbers out
            self.lengths = np.concatenate((self.lengths, np.zeros(token, np.int64)))
        self.lengths[token] = len(encoded)
        return encoded

    def are(self, ids: list[int], text: str) -> bool:
        """Whether the tokens one behind the other are the text, byte for byte."""
        return b"".join(map(self.__getitem__, ids)) == text.encode()


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

    ids: list[int]
    tokens: Any
    """The same as an array (int32)."""
    offsets: CharacterOffsets | ByteOffsets
    controls: list[int]
    """Places of the control tokens among them."""


def id_array(ids: list[int]) -> Any:
    """Token ids as an array (int32)."""
    return np.array(array("i", ids), np.int32)  # twice as fast as from a list
