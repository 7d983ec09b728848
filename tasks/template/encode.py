"""Text to token ids, many rows at a time, with the control tokens of the template and no others.

The Rust tokenizer first cuts a text at control tokens and then encodes what is between them, each piece for itself. Two
things follow. The ids of a prompt are those of the whole row up to it if its last piece has the same ids, so that the
piece alone has to be encoded. And a control token that somebody quotes can be kept a text: those of the template get
stand-ins that nobody writes, and all the others are then read as plain text.
"""

import copy
import re
from collections.abc import Sequence as Rows
from functools import cached_property
from typing import Any

import numpy as np

from tasks.contract.errors import InputError

Span = tuple[int, int]

PRIVATE = range(0xF0000, 0x10FFFE)
"""Private characters, of which some stand for control tokens while others are read as plain text."""


class Encoder:
    """A tokenizer, for rendered text: the template has written the control tokens, so none is added."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._rust = tokenizer._tokenizer
        special = {token: added for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        self.controls = {added.content: token for token, added in special.items()}
        """Control tokens: text -> id."""
        self._added = {added.content: added for added in special.values()}
        self.ids = frozenset(self.controls.values())
        longest = sorted(self.controls, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")
        """Finds control tokens in a text."""
        self._control = np.zeros(1 + max(tokenizer.get_vocab().values()), bool)
        self._control[list(self.ids)] = True
        self._tails: dict[str, list[int]] = {}
        self._readers: dict[int, tuple[Any, dict[int, int]]] = {}

    def encode(self, texts: list[str]) -> list[Any]:
        """An encoding (of the library tokenizers) for each text."""
        encodings: list[Any] = self._rust.encode_batch(texts, add_special_tokens=False)
        return encodings

    def decode(self, rows: list[list[int]]) -> list[str]:
        """The text of each list of ids, control tokens included."""
        texts: list[str] = self._rust.decode_batch(rows, skip_special_tokens=False)
        return texts

    def of(self, ids: list[int]) -> list[int]:
        """Places of the control tokens among the ids."""
        found: list[int] = np.flatnonzero(self._control[np.array(ids, np.int64)]).tolist()
        return found

    def tail(self, piece: str) -> list[int]:
        """Ids of the last piece of a prompt: from its last control token on."""
        if piece not in self._tails:
            if len(self._tails) > 10_000:
                self._tails.clear()
            self._tails[piece] = self.encode([piece])[0].ids
        return self._tails[piece]

    def last_piece(self, text: str) -> str:
        """What of a prompt stands from its last control token on; all of it where there is none."""
        starts = [found.start() for found in self.pattern.finditer(text)]
        return text[starts[-1] :] if starts else text

    def quoted(self, text: str, own: Rows[Span]) -> tuple[list[int], "Places"]:
        """Ids of a text in which only the control tokens within the spans `own` are ones; and where characters are."""
        base = self._free(text)
        plain, real = self._reader(base)
        pieces, moved, at = [], [(0, 0)], 0
        length = 0
        for start, end in own:
            for found in self.pattern.finditer(text, start, end):
                pieces += [text[at : found.start()], chr(base + self._numbers[found.group()])]
                length += found.start() - at + 1
                at = found.end()
                moved.append((at, length))
        pieces.append(text[at:])
        encoding = plain.encode("".join(pieces), add_special_tokens=False)
        return [real.get(token, token) for token in encoding.ids], Places(encoding, moved)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {content: number for number, content in enumerate(self.controls)}

    def _free(self, text: str) -> int:
        """The first of as many private characters as there are control tokens, none of which stands in the text.

        Who writes such a character must not get a control token for it. Raises `InputError` where none is left.
        """
        there = [ord(character) for character in set(text) if character >= chr(PRIVATE[0])]
        size = len(self.controls)
        for base in range(PRIVATE[0], PRIVATE[-1] - size, size):
            if not any(base <= character < base + size for character in there):
                return base
        raise InputError("a text has so many private characters of Unicode that none is left to stand for a token.")

    def _reader(self, base: int) -> tuple[Any, dict[int, int]]:
        """A tokenizer that reads control tokens as plain text, and the ids of those that characters stand for."""
        from tokenizers import AddedToken

        if base in self._readers:
            return self._readers[base]
        plain = copy.deepcopy(self._rust)
        plain.add_tokens(
            [
                AddedToken(
                    chr(base + number),
                    lstrip=self._added[content].lstrip,
                    rstrip=self._added[content].rstrip,
                    normalized=False,
                    special=False,
                )
                for content, number in self._numbers.items()
            ]
        )
        plain.encode_special_tokens = True
        real = {plain.token_to_id(chr(base + number)): self.controls[name] for name, number in self._numbers.items()}
        if len(self._readers) > 3:
            self._readers.clear()
        self._readers[base] = plain, real
        return plain, real


class Places:
    """Which token a character is in, for a text some of whose control tokens were one character long when encoded."""

    def __init__(self, encoding: Any, moved: list[Span] | None = None) -> None:
        self._encoding = encoding
        self._moved = moved or [(0, 0)]
        self._length = len(encoding.ids)

    def within(self, tokens: list[int], spans: Rows[Span]) -> bool:
        """Whether each of the tokens lies in one of the spans of characters, both ascending. Not for moved texts."""
        at = 0
        for token in tokens:
            start, end = self._encoding.token_to_chars(token)
            while at < len(spans) and spans[at][1] < end:
                at += 1
            if at == len(spans) or start < spans[at][0]:
                return False
        return True

    def edge(self, character: int) -> tuple[int, bool]:
        """The first token that starts at or behind the character, and whether none lies across the edge before it."""
        at = self._shifted(character)
        for place in range(at, at + 64):
            token = self._encoding.char_to_token(place)
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
