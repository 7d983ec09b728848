"""Drafts to token ids and what of them is trained, each proved by decoding."""

from collections import Counter
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.contract.rows import IGNORED
from tasks.template.draft import Draft
from tasks.template.encode import Encoder, Places, Span


@dataclass(frozen=True)
class Sequence:
    """Token ids, and the runs of them that are trained."""

    ids: list[int]
    runs: tuple[Span, ...]
    """First and behind the last token of each trained run, ascending."""
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def trained(self) -> int:
        """Number of trained tokens."""
        return sum(end - start for start, end in self.runs)

    @property
    def labels(self) -> list[int]:
        """For each token itself where it is trained, else `IGNORED`."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.runs:
            labels[start:end] = self.ids[start:end]
        return labels

    def cut(self, start: int, end: int) -> "Sequence":
        """The tokens from `start` to `end`, with what is trained of them."""
        runs = [(max(begin, start) - start, min(stop, end) - start) for begin, stop in self.runs]
        return replace(self, ids=self.ids[start:end], runs=tuple(run for run in runs if run[0] < run[1]))


def sequences(
    encoder: Encoder, drafts: Rows[Draft], stops: set[int], encodings: list[Any] | None = None
) -> list[Sequence]:
    """The drafts as tokens, with what is wrong with them added to what was known; `encodings`: their texts encoded."""
    found, told, expected = [], [], []
    if encodings is None:
        encodings = encoder.encode([draft.text for draft in drafts])
    for draft, encoding in zip(drafts, encodings, strict=True):
        problems = draft.problems.copy()
        ids, places = encoding.ids, Places(encoding)
        controls = encoder.of(ids)
        if not places.within(controls, draft.own):
            ids, places = encoder.quoted(draft.text, draft.own)
            problems["quoted"] += 1
            controls = encoder.of(ids)
        bos = encoder.tokenizer.bos_token_id
        problems["scaffold"] += len(ids) > 1 and ids[0] == ids[1] == bos is not None
        runs = []
        apart = True
        for start, end in draft.turns:
            first, sharp = places.edge(start)
            last, blunt = places.edge(end)
            apart = apart and sharp and blunt
            problems["supervision"] += first >= last
            problems["prefix"] += not sharp
            problems["stop"] += last > first and ids[last - 1] not in stops and end > start and not _whole(draft)
            runs.append((first, last))
        for prompt, tail in draft.prompts:
            first, _ = places.edge(prompt)
            if tail is None and problems["quoted"]:  # its last control token may be a quoted one
                piece, _ = encoder.quoted(draft.text[:prompt], [span for span in draft.own if span[1] <= prompt])
            else:
                piece = encoder.tail(encoder.last_piece(draft.text[:prompt]) if tail is None else tail)
            problems["prefix"] += ids[max(0, first - len(piece)) : first] != piece
        made = Sequence(ids, tuple(run for run in runs if run[0] < run[1]), problems)
        found.append(made)
        for start, end, text in _pieces(made, draft) if apart else [(0, len(ids), draft.text)]:
            told.append(ids[start:end])
            expected.append((made, text))
    _prove(encoder, told, expected)
    return [replace(made, problems=+made.problems) for made in found]


def texts(encoder: Encoder, given: list[str], bos: int | None) -> list[Sequence]:
    """Raw texts: every token is trained, the end token behind them too. `bos`: id with which rows begin, if any."""
    begin = [] if bos is None else [bos]
    end = [encoder.tokenizer.eos_token_id]
    encodings = [encoding.ids for encoding in encoder.encode(given)]
    made = []
    for plain in encodings:
        ids = [*begin, *plain, *end]
        made.append(Sequence(ids, ((0, len(ids)),), Counter({"rendered": 1} if encoder.of(plain) else {})))
    _prove(encoder, encodings, list(zip(made, given, strict=True)))
    return made


def _whole(draft: Draft) -> bool:
    """Whether every token is trained, so that the row need not end in a stop token but only hold its turns'."""
    return draft.turns == ((0, len(draft.text)),)


def _pieces(made: Sequence, draft: Draft) -> list[tuple[int, int, str]]:
    """The trained runs and what is between them, with the text that each must be."""
    pieces = []
    token = character = 0
    if len(made.runs) != len(draft.turns):
        return [(0, len(made.ids), draft.text)]
    for (first, last), (start, end) in zip(made.runs, draft.turns, strict=True):
        pieces += [(token, first, draft.text[character:start]), (first, last, draft.text[start:end])]
        token, character = last, end
    return [*pieces, (token, len(made.ids), draft.text[character:])]


def _prove(encoder: Encoder, told: list[list[int]], expected: list[tuple[Sequence, str]]) -> None:
    """Note each sequence whose ids do not decode to its text, space apart: control tokens of some tokenizers eat it."""
    unknown = encoder.tokenizer.unk_token_id
    for decoded, ids, (made, meant) in zip(encoder.decode(told), told, expected, strict=True):
        if (decoded != meant and "".join(decoded.split()) != "".join(meant.split())) or (
            unknown is not None and unknown in ids
        ):
            made.problems["unknown"] += 1
