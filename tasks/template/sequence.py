"""Rendered dialogues to token ids and what of them is trained, each proved by decoding, or byte by byte when read.

Shapes: `T` tokens of a sequence.
"""

from collections import Counter
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tasks.rows.canonical import IGNORED
from tasks.template.dialogue import RenderedDialogue
from tasks.template.encode import Encoder
from tasks.template.offsets import Span


@dataclass(frozen=True, eq=False)
class Sequence:
    """Tokens, and the runs of them that are trained."""

    tokens: Any
    """Their ids, an array (T, int32)."""
    runs: tuple[Span, ...]
    """First and behind the last token of each trained run, ascending."""
    problems: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Characters that the tokenizer cannot represent, where that was looked for."""
    texts: tuple[int, ...] = ()
    """Tokens of each text, where they are several, which the model reads apart."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each text that the model reads."""
        return self.texts or (len(self.tokens),)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def ids(self) -> list[int]:
        """The ids as numbers of Python."""
        ids: list[int] = self.tokens.tolist()
        return ids

    @property
    def trained(self) -> int:
        """Number of trained tokens."""
        return sum(end - start for start, end in self.runs)

    @property
    def labels(self) -> Any:
        """For each token itself where it is trained, else `IGNORED`; an array (T, int32)."""
        labels = np.full(len(self.tokens), IGNORED, np.int32)
        for start, end in self.runs:
            labels[start:end] = self.tokens[start:end]
        return labels

    def cut(self, start: int, end: int) -> "Sequence":
        """The tokens from `start` to `end`, with what is trained of them."""
        runs = [(max(begin, start) - start, min(stop, end) - start) for begin, stop in self.runs]
        return replace(self, tokens=self.tokens[start:end], runs=tuple(run for run in runs if run[0] < run[1]))


def sequences(encoder: Encoder, dialogues: Rows[RenderedDialogue], stops: set[int]) -> list[Sequence]:
    """The dialogues as tokens, with what is wrong with them added to what was known."""
    results, muted, unproved = [], [], _DecodingCheck()
    reads = encoder.read_alike([dialogue.text for dialogue in dialogues], [dialogue.own for dialogue in dialogues])
    for dialogue, read in zip(dialogues, reads, strict=True):
        problems = Counter(dialogue.problems) if dialogue.problems else Counter()
        if not encoder.controls_allowed(read, dialogue.own, dialogue.spoken):
            read = encoder.read_quoted(dialogue.text, dialogue.own, dialogue.spoken)
            problems["quoted"] += 1
        tokens = read.tokens
        if len(tokens) > 1 and tokens[0] == tokens[1] == encoder.bos:
            problems["scaffold"] += 1
        turns, silent = dialogue.turns, dialogue.muted
        spans = [edge for span in (*turns, *silent) for edge in span]
        edges = read.offsets.edges([*spans, *(prompt for prompt, _ in dialogue.prompts)])
        prompts, edges, of_muted = edges[len(spans) :], edges[: 2 * len(turns)], edges[2 * len(turns) : len(spans)]
        whole = _whole(dialogue)
        for (start, end), (first, sharp), (last, _) in zip(turns, edges[::2], edges[1::2], strict=True):
            if first >= last:
                problems["supervision"] += 1
            elif int(tokens[last - 1]) not in stops and end > start and not whole:
                problems["stop"] += 1
            if not sharp:
                problems["prefix"] += 1
        for (prompt, tail), (first, _) in zip(dialogue.prompts, prompts, strict=True):
            if tail is None and problems["quoted"]:  # its last control token may be a quoted one
                before = [[span for span in spans if span[1] <= prompt] for spans in (dialogue.own, dialogue.spoken)]
                piece = encoder.read_quoted(dialogue.text[:prompt], *before).tokens.tolist()
            else:
                piece = encoder.tail(encoder.last_piece(dialogue.text[:prompt]) if tail is None else tail)
            if tokens[max(0, first - len(piece)) : first].tolist() != piece:
                problems["prefix"] += 1
        runs = [(first, last) for (first, _), (last, _) in zip(edges[::2], edges[1::2], strict=True)]
        result = Sequence(tokens, tuple(run for run in runs if run[0] < run[1]), problems)
        results.append(result)
        muted.append(_tokens_of(of_muted))
        if not read.offsets.exact:
            apart = all(sharp for _, sharp in edges)
            for start, end, text in _pieces(result, dialogue) if apart else [(0, len(tokens), dialogue.text)]:
                unproved.add(tokens[start:end].tolist(), result, text)
    unproved.prove(encoder)
    return [
        replace(result, runs=_without(result.runs, silent)) if silent else result
        for result, silent in zip(results, muted, strict=True)
    ]


def begin_id(tokenizer: Any) -> int | None:
    """The token with which `tokenizer` begins texts; None where it begins them with none of its own."""
    begins = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id] != [tokenizer.eos_token_id]
    return tokenizer.bos_token_id if begins else None


def text_sequences(encoder: Encoder, raw_texts: list[str], bos: int | None) -> list[Sequence]:
    """Raw texts: every token is trained, the end token behind them too. `bos`: id with which rows begin, if any."""
    begin = np.array([] if bos is None else [bos], np.int32)
    end = np.array([encoder.tokenizer.eos_token_id], np.int32)
    results, unproved = [], _DecodingCheck()
    for text, read in zip(raw_texts, encoder.read(raw_texts), strict=True):
        tokens = np.concatenate((begin, read.tokens, end))
        problems = Counter({"rendered": 1} if read.controls else {})
        results.append(Sequence(tokens, ((0, len(tokens)),), problems))
        if not read.offsets.exact:
            unproved.add(read.tokens.tolist(), results[-1], text)
    unproved.prove(encoder)
    return results


def _whole(dialogue: RenderedDialogue) -> bool:
    """Whether every token is trained, so that the row need not end in a stop token but only hold its turns'."""
    return dialogue.turns == ((0, len(dialogue.text)),)


def _tokens_of(edges: list[tuple[int, bool]]) -> list[Span]:
    """The tokens of spans, by the edges of each, with those that lie across an edge."""
    return [(first - (not sharp), last) for (first, sharp), (last, _) in zip(edges[::2], edges[1::2], strict=True)]


def _without(runs: tuple[Span, ...], muted: list[Span]) -> tuple[Span, ...]:
    """The runs without the tokens of the muted ones, ascending."""
    for first, last in muted:
        parts = [piece for start, end in runs for piece in ((start, min(end, first)), (max(start, last), end))]
        runs = tuple((start, end) for start, end in parts if start < end)
    return runs


def _pieces(result: Sequence, dialogue: RenderedDialogue) -> list[tuple[int, int, str]]:
    """The trained runs and what is between them, with the text that each must be."""
    pieces = []
    token = character = 0
    if len(result.runs) != len(dialogue.turns):
        return [(0, len(result), dialogue.text)]
    for (first, last), (start, end) in zip(result.runs, dialogue.turns, strict=True):
        pieces += [(token, first, dialogue.text[character:start]), (first, last, dialogue.text[start:end])]
        token, character = last, end
    return [*pieces, (token, len(result), dialogue.text[character:])]


class _DecodingCheck:
    """Runs of tokens and the texts that they must be, to be decoded together."""

    def __init__(self) -> None:
        self._ids: list[list[int]] = []
        self._meant: list[tuple[Sequence, str]] = []

    def add(self, ids: list[int], result: Sequence, meant: str) -> None:
        self._ids.append(ids)
        self._meant.append((result, meant))

    def prove(self, encoder: Encoder) -> None:
        """Note each sequence whose ids do not decode to its text, space apart: control tokens of some tokenizers eat
        it."""
        unknown = encoder.tokenizer.unk_token_id
        for decoded, ids, (result, meant) in zip(encoder.decode(self._ids), self._ids, self._meant, strict=True):
            if (decoded != meant and "".join(decoded.split()) != "".join(meant.split())) or (
                unknown is not None and unknown in ids
            ):
                result.problems["unknown"] += 1
                result.lost.extend(encoder.lost(meant))
