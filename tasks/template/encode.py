"""Text to token ids, many rows at a time, with the control tokens of the template and no others.

The Rust tokenizer first cuts a text at control tokens and then encodes what is between them, each piece for itself. Two
things follow. The ids of a prompt are those of the whole row up to it if its last piece has the same ids, so that the
piece alone has to be encoded. And a control token that somebody quotes can be kept a text: those of the template get
stand-ins that nobody writes, and all the others are then read as plain text.
"""

import copy
from collections.abc import Sequence as Rows
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tasks.chat.special_tokens import added_control_tokens, is_tag, special_tokens, token_pattern
from tasks.core.errors import InputError
from tasks.models.foreign import foreign
from tasks.template.offsets import ByteOffsets, CharacterOffsets, Span, TokenBytes, TokenizedText, id_array
from tasks.template.pieces import PieceEncoder

PRIVATE = range(0xF0000, 0x10FFFE)
"""Private characters, of which some stand for control tokens while others are read as plain text."""


class Encoder:
    """A tokenizer, for rendered text: the template has written the control tokens, so none is added."""

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers.decoders import ByteLevel

        self.tokenizer = tokenizer
        self._rust = tokenizer.backend_tokenizer
        self._special, self._others = special_tokens(tokenizer), added_control_tokens(tokenizer)
        self._added = self._special | self._others
        self.controls = dict(zip(self._added, tokenizer.convert_tokens_to_ids(list(self._added)), strict=True))
        """Control tokens: text -> id."""
        self.pattern = token_pattern(self._special)
        """Finds special tokens in a text."""
        self.any_control = token_pattern(self._added)
        """Finds control tokens in a text: the tags among them, which may stand in texts of the assistant."""
        tags = [text for text in self._others if is_tag(text)]
        self._of_tags = token_pattern(tags)
        self._control = np.zeros(2 + max(self.controls.values(), default=0), bool)
        self._control[list(self.controls.values())] = True
        self._ids_of_tags = frozenset(self.controls[text] for text in tags)
        self.bos: int | None = tokenizer.bos_token_id
        self._bytes = TokenBytes(self._rust) if isinstance(self._rust.decoder, ByteLevel) else None
        """Bytes of the tokens, where these one behind the other are the text."""
        pieces = PieceEncoder(self._rust, self._bytes) if self._bytes is not None else None
        self._pieces = pieces if pieces and pieces.exact else None
        self._tails: dict[str, list[int]] = {}
        self._readers: dict[int, tuple[Any, dict[int, int]]] = {}

    def read(self, texts: list[str]) -> list[TokenizedText]:
        """The tokens of each text."""
        if not texts:
            return []
        if self._bytes is None:
            return list(map(self._by_characters, self.encode(texts)))
        reads = []
        with self._reading():
            encodings = self._rust.encode_batch_fast(texts, add_special_tokens=False)
        rows = [id_array(encoding.ids) for encoding in encodings]
        for text, tokens, exact in zip(texts, rows, self._bytes.are(rows, texts), strict=True):
            if exact:
                reads += self._by_bytes([text], [tokens])
            else:  # a normalizer changed the text, or a control token ate the space beside it
                reads.append(self._by_characters(self.encode([text])[0]))
        return reads

    def read_alike(self, texts: list[str], own: Rows[Rows[Span]]) -> list[TokenizedText]:
        """As `read`, of texts that have much in common, as dialogues of one template: pieces of them are known.

        `own`: for each text the spans of characters, ascending, that the template wrote.
        """
        if self._pieces is None or self._bytes is None:
            return self.read(texts)
        rows = self._pieces.encode(texts, own, self._reading())
        pairs = list(zip(texts, rows, strict=True))
        whole = iter(self.read([text for text, tokens in pairs if tokens is None]))
        known = [pair for pair in pairs if pair[1] is not None]
        pieced = iter(self._by_bytes(*map(list, zip(*known, strict=True))) if known else ())
        return [next(whole if tokens is None else pieced) for tokens in rows]

    def _by_bytes(self, texts: list[str], rows: list[Any]) -> list[TokenizedText]:
        """Texts whose tokens are their bytes; what is counted is counted for all of them at once."""
        assert self._bytes is not None
        ends = np.cumsum([0, *map(len, rows)])
        tokens = np.concatenate(rows)
        starts = np.zeros(len(tokens) + 1, np.int64)
        np.cumsum(self._bytes.lengths[tokens], out=starts[1:])
        controls = np.array(self.control_positions(tokens), np.int64)
        of_rows = controls.searchsorted(ends).tolist()
        reads = []
        for number, (start, end) in enumerate(pairwise(ends.tolist())):
            places = (controls[of_rows[number] : of_rows[number + 1]] - start).tolist()
            offsets = ByteOffsets(texts[number], starts[start : end + 1] - starts[start])
            reads.append(TokenizedText(rows[number], offsets, places))
        return reads

    def _by_characters(self, encoding: Any) -> TokenizedText:
        tokens = id_array(encoding.ids)
        return TokenizedText(tokens, CharacterOffsets(encoding), self.control_positions(tokens))

    def encode(self, texts: list[str]) -> list[Any]:
        """An encoding (of the library tokenizers) for each text."""
        with self._reading():
            encodings: list[Any] = self._rust.encode_batch(texts, add_special_tokens=False)
        return encodings

    def _reading(self) -> AbstractContextManager[None]:
        """Around what reads rows: raises `ModelError` where the tokenizer fails on a text that it was not tried on."""
        folder = Path(self.tokenizer.name_or_path)
        return foreign(folder, "fix the patterns in tokenizer.json", "the tokenizer fails on a text")

    def decode(self, rows: list[list[int]]) -> list[str]:
        """The text of each list of ids, control tokens included."""
        with self._reading():
            texts: list[str] = self._rust.decode_batch(rows, skip_special_tokens=False)
        return texts

    def lost(self, text: str) -> list[str]:
        """The characters of a rendered text that the tokenizer cannot represent, each once, in their order."""
        characters = [one for one in dict.fromkeys(self.any_control.sub("", text)) if not one.isspace()]
        ids = [one.ids for one in self.encode(characters)]
        unknown = self.tokenizer.unk_token_id
        return [
            character
            for character, own, decoded in zip(characters, ids, self.decode(ids), strict=True)
            if unknown in own or character not in decoded
        ]

    def control_positions(self, ids: Any) -> list[int]:
        """Places of the control tokens among the ids, a list or an array."""
        known = self._control[np.minimum(np.asarray(ids, np.int32), len(self._control) - 1)]
        positions: list[int] = known.nonzero()[0].tolist()
        return positions

    def tail(self, piece: str) -> list[int]:
        """Ids of the last piece of a prompt: from its last control token on."""
        if piece not in self._tails:
            if len(self._tails) > 10_000:
                self._tails.clear()
            self._tails[piece] = self.encode([piece])[0].ids
        return self._tails[piece]

    def last_piece(self, text: str) -> str:
        """What of a prompt stands from its last control token on; all of it where there is none."""
        starts = [match.start() for match in self.pattern.finditer(text)]
        return text[starts[-1] :] if starts else text

    def controls_allowed(self, read: TokenizedText, own: Rows[Span], spoken: Rows[Span]) -> bool:
        """Whether all control tokens are in spans of characters where they may be: `own`, or a tag in `spoken`."""
        positions = read.controls
        if read.offsets.within(positions, own):
            return True
        apart: dict[bool, list[int]] = {True: [], False: []}
        for position in positions:
            apart[int(read.tokens[position]) in self._ids_of_tags].append(position)
        both = sorted([*own, *spoken])
        return bool(apart[True]) and read.offsets.within(apart[False], own) and read.offsets.within(apart[True], both)

    def read_quoted(self, text: str, own: Rows[Span], spoken: Rows[Span]) -> TokenizedText:
        """Tokens of a text in which only the control tokens where they may be are ones; see `controls_allowed`."""
        base = self._free(text)
        plain, real = self._reader(base)
        pieces, moved, at = [], [(0, 0)], 0
        length = 0
        spans = [*((span, self.any_control) for span in own), *((span, self._of_tags) for span in spoken)]
        for (start, end), allowed in sorted(spans, key=lambda one: one[0]):
            for match in allowed.finditer(text, start, end):
                pieces += [text[at : match.start()], chr(base + self._numbers[match.group()])]
                length += match.start() - at + 1
                at = match.end()
                moved.append((at, length))
        pieces.append(text[at:])
        with self._reading():
            encoding = plain.encode("".join(pieces), add_special_tokens=False)
        tokens = id_array([real.get(token, token) for token in encoding.ids])
        return TokenizedText(tokens, CharacterOffsets(encoding, moved), self.control_positions(tokens))

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
        raise InputError("a text uses nearly all private-use Unicode characters, but temper needs some; remove it.")

    def _reader(self, base: int) -> tuple[Any, dict[int, int]]:
        """A tokenizer that reads control tokens as plain text, and the ids of those that characters stand for."""
        from tokenizers import AddedToken

        if base in self._readers:
            return self._readers[base]
        plain = copy.deepcopy(self._rust)
        plain.add_special_tokens([AddedToken(text, special=True) for text in self._others])  # to be texts
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
