"""Drafts to token ids and what of them is trained, each proved by decoding, or byte by byte while it was read."""

from collections import Counter
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tasks.rows.canonical import IGNORED
from tasks.template.draft import Draft
from tasks.template.encode import Encoder
from tasks.template.offsets import Span


@dataclass(frozen=True, eq=False)
class Sequence:
    """Tokens, and the runs of them that are trained."""

    tokens: Any
    """Their ids, an array (int32)."""
    runs: tuple[Span, ...]
    """First and behind the last token of each trained run, ascending."""
    problems: Counter[str] = field(default_factory=Counter)

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
        """For each token itself where it is trained, else `IGNORED`; an array (int32)."""
        labels = np.full(len(self.tokens), IGNORED, np.int32)
        for start, end in self.runs:
            labels[start:end] = self.tokens[start:end]
        return labels

    def cut(self, start: int, end: int) -> "Sequence":
        """The tokens from `start` to `end`, with what is trained of them."""
        runs = [(max(begin, start) - start, min(stop, end) - start) for begin, stop in self.runs]
        return replace(self, tokens=self.tokens[start:end], runs=tuple(run for run in runs if run[0] < run[1]))


def sequences(encoder: Encoder, drafts: Rows[Draft], stops: set[int]) -> list[Sequence]:
    """The drafts as tokens, with what is wrong with them added to what was known."""
    found, told = [], _Told()
    for draft, read in zip(drafts, encoder.read([draft.text for draft in drafts]), strict=True):
        problems = draft.problems.copy()
        if not encoder.holds(read, draft.own, draft.spoken):
            read = encoder.quoted(draft.text, draft.own, draft.spoken)
            problems["quoted"] += 1
        ids = read.ids
        if len(ids) > 1 and ids[0] == ids[1] == encoder.bos:
            problems["scaffold"] += 1
        edges = read.places.edges([place for turn in draft.turns for place in turn])
        whole = _whole(draft)
        for (start, end), (first, sharp), (last, _) in zip(draft.turns, edges[::2], edges[1::2], strict=True):
            problems["supervision"] += first >= last
            problems["prefix"] += not sharp
            problems["stop"] += last > first and ids[last - 1] not in stops and end > start and not whole
        prompts = read.places.edges([prompt for prompt, _ in draft.prompts])
        for (prompt, tail), (first, _) in zip(draft.prompts, prompts, strict=True):
            if tail is None and problems["quoted"]:  # its last control token may be a quoted one
                before = [[span for span in spans if span[1] <= prompt] for spans in (draft.own, draft.spoken)]
                piece = encoder.quoted(draft.text[:prompt], *before).ids
            else:
                piece = encoder.tail(encoder.last_piece(draft.text[:prompt]) if tail is None else tail)
            problems["prefix"] += ids[max(0, first - len(piece)) : first] != piece
        runs = [(first, last) for (first, _), (last, _) in zip(edges[::2], edges[1::2], strict=True)]
        made = Sequence(read.tokens, tuple(run for run in runs if run[0] < run[1]), problems)
        found.append(made)
        if not read.places.proved:
            apart = all(sharp for _, sharp in edges)
            for start, end, text in _pieces(made, draft) if apart else [(0, len(ids), draft.text)]:
                told.add(ids[start:end], made, text)
    told.prove(encoder)
    return [replace(made, problems=+made.problems) for made in found]


def texts(encoder: Encoder, given: list[str], bos: int | None) -> list[Sequence]:
    """Raw texts: every token is trained, the end token behind them too. `bos`: id with which rows begin, if any."""
    begin = np.array([] if bos is None else [bos], np.int32)
    end = np.array([encoder.tokenizer.eos_token_id], np.int32)
    made, told = [], _Told()
    for text, read in zip(given, encoder.read(given), strict=True):
        tokens = np.concatenate((begin, read.tokens, end))
        problems = Counter({"rendered": 1} if encoder.of(read.tokens) else {})
        made.append(Sequence(tokens, ((0, len(tokens)),), problems))
        if not read.places.proved:
            told.add(read.ids, made[-1], text)
    told.prove(encoder)
    return made


def _whole(draft: Draft) -> bool:
    """Whether every token is trained, so that the row need not end in a stop token but only hold its turns'."""
    return draft.turns == ((0, len(draft.text)),)


def _pieces(made: Sequence, draft: Draft) -> list[tuple[int, int, str]]:
    """The trained runs and what is between them, with the text that each must be."""
    pieces = []
    token = character = 0
    if len(made.runs) != len(draft.turns):
        return [(0, len(made), draft.text)]
    for (first, last), (start, end) in zip(made.runs, draft.turns, strict=True):
        pieces += [(token, first, draft.text[character:start]), (first, last, draft.text[start:end])]
        token, character = last, end
    return [*pieces, (token, len(made), draft.text[character:])]


class _Told:
    """Runs of tokens and the texts that they must be, to be decoded together."""

    def __init__(self) -> None:
        self._ids: list[list[int]] = []
        self._meant: list[tuple[Sequence, str]] = []

    def add(self, ids: list[int], made: Sequence, meant: str) -> None:
        self._ids.append(ids)
        self._meant.append((made, meant))

    def prove(self, encoder: Encoder) -> None:
        """Note each sequence whose ids do not decode to its text, space apart: control tokens of some tokenizers eat
        it."""
        unknown = encoder.tokenizer.unk_token_id
        for decoded, ids, (made, meant) in zip(encoder.decode(self._ids), self._ids, self._meant, strict=True):
            if (decoded != meant and "".join(decoded.split()) != "".join(meant.split())) or (
                unknown is not None and unknown in ids
            ):
                made.problems["unknown"] += 1
