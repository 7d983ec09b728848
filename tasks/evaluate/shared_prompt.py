"""What prompts share is computed once: the start of several rows, and the context of several texts.

Shapes: `B` rows, `T` tokens, `V` vocabulary.
"""

from typing import Any

import torch

from tasks.evaluate.key_values import KeyValues

Ids = list[int]
Group = tuple[Ids, list[Ids]]
"""A context, and the texts of which each may follow it."""
Scored = tuple[float, bool]
"""Log-likelihood in nats, and whether greedy decoding says the text."""

UNASKED = -1
"""Stands in the place of a token that fills up a text."""


class SharedPrompts:
    """A model that computes keys and values of what rows share once; it keeps those of the last start."""

    def __init__(self, model: Any, pad: int, *, trims_logits: bool) -> None:
        """`trims_logits`: whether the model can leave out logits that nobody reads."""
        self._model, self._pad, self._trims_logits = model, pad, trims_logits
        self._empty = KeyValues.empty(model)
        self._start: Ids = []
        self._started = self._empty

    @torch.inference_mode()
    def likelihoods(self, start: int, groups: list[Group], at_once: int) -> list[list[Scored]] | None:
        """How likely each text of `groups` is, whose contexts share their first `start` tokens; None as below.

        Of groups with several texts, at most `at_once` texts go through the model together.
        """
        if all(len(texts) == 1 for _, texts in groups):
            target = at_the_end([text for _, (text,) in groups])
            if not (
                begun := self.begun(start, [[*context, *text[:-1]] for context, (text,) in groups], len(target[0]))
            ):
                return None
            return [[one] for one in text_likelihoods(begun[0], target)]
        if not (begun := self.begun(start, [context for context, _ in groups])):
            return None
        logits, known = begun
        first = [[text[0] for text in texts] for _, texts in groups]
        scored = _first_likelihoods(logits[:, 0].float(), first)
        longer = [(at, number) for at, (_, texts) in enumerate(groups) for number, text in enumerate(texts) if text[1:]]
        longer.sort(key=lambda place: -len(groups[place[0]][1][place[1]]))
        for begin in range(0, len(longer), at_once):
            part = longer[begin : begin + at_once]
            each = known.rows(torch.tensor([at for at, _ in part], device=logits.device))
            texts = [groups[at][1][number] for at, number in part]
            for (at, number), (value, greedy) in zip(part, self._scored(each, texts), strict=True):
                before, likeliest_first = scored[at][number]
                scored[at][number] = (before + value, likeliest_first and greedy)
        return scored

    @torch.inference_mode()
    def begun(self, start: int, rows: list[Ids], kept: int = 1) -> tuple[torch.Tensor, KeyValues] | None:
        """Logits at the last `kept` places of `rows`, (B, kept, V), and what is known with them.

        The rows share their first `start` tokens. What is known of these moves to the right in shorter rows, and what
        of it gives way is computed again, so that padding stands before a row and never within.

        None where keys and values of a row cannot be copied (`KeyValues.empty`), or a row has no token.
        """
        longest = max(map(len, rows))
        pads = [longest - len(row) for row in rows]
        if not all(rows) or not (known := self._after(rows[0][:start], pads)):
            return None
        filled = [[*[self._pad] * before, *row][start:] for before, row in zip(pads, rows, strict=True)]
        return self._passed(known, filled, kept)

    @torch.inference_mode()
    def step(self, known: KeyValues, newest: Ids) -> tuple[Ids, KeyValues]:
        """The likeliest token after the newest of each row, and what is known of the rows then."""
        logits, known = self._passed(known, [[token] for token in newest], 1)
        return likeliest(logits), known

    def _after(self, start: Ids, pads: list[int]) -> KeyValues | None:
        """What is known after `start`, with padding before each row; None where that cannot be copied."""
        if not self._empty or not self._started:
            return None
        if self._start != start:
            # a pass fills the cache that it is given, and the empty one begins the next start, too
            empty = self._empty.moved([0])
            self._start, self._started = start, self._passed(empty, [start], 1)[1] if start else empty
        return self._started.moved(pads)

    def _passed(self, known: KeyValues, rows: list[Ids], kept: int) -> tuple[torch.Tensor, KeyValues]:
        """Logits at the last `kept` places of `rows`, (B, kept, V), and what is known with them.

        Padding on the right changes nothing before it: each token sees what stands to its left. It has the position of
        the row's last token, for there may be none beyond; what stands before a row has that of its first.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._pad] * (width - len(row))] for row in rows], device=self._model.device)
        lengths = torch.tensor([known.length + len(row) for row in rows], device=ids.device)
        places = torch.arange(known.length + width, device=ids.device)
        mask = (places >= known.pads[:, None]) & (places < lengths[:, None])
        positions = places[known.length :].minimum(lengths[:, None] - 1) - known.pads[:, None]
        logits = self._model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=positions.clamp(min=0),
            past_key_values=known.cache,
            use_cache=True,
            **({"logits_to_keep": kept} if self._trims_logits else {}),
        ).logits
        return logits[:, -kept:], known.extended(width)

    def _scored(self, known: KeyValues, texts: list[Ids]) -> list[Scored]:
        """How likely each of `texts` is from its second token on, where all before the first is known."""
        width = max(map(len, texts)) - 1
        logits, _ = self._passed(known, [text[:-1] for text in texts], width)
        return text_likelihoods(logits, [[*text[1:], *[UNASKED] * (width + 1 - len(text))] for text in texts])


def likeliest(logits: torch.Tensor) -> Ids:
    """The likeliest token of each row by `logits` (B, 1, V)."""
    tokens: Ids = logits[:, 0].float().argmax(-1).tolist()
    return tokens


def _first_likelihoods(logits: torch.Tensor, tokens: list[Ids]) -> list[list[Scored]]:
    """How likely each of a row's `tokens` is by its `logits` (B, V)."""
    widest = max(map(len, tokens))
    asked = torch.tensor([[*row, *[0] * (widest - len(row))] for row in tokens], device=logits.device)
    values = (logits.gather(1, asked) - logits.logsumexp(1, keepdim=True)).tolist()
    best = logits.argmax(1).tolist()
    return [
        [(value, token == best[at]) for token, value in zip(row, values[at], strict=False)]
        for at, row in enumerate(tokens)
    ]


def at_the_end(texts: list[Ids]) -> list[Ids]:
    """The tokens of each text at the end of a row as long as the longest."""
    longest = max(map(len, texts))
    return [[*[UNASKED] * (longest - len(text)), *text] for text in texts]


def text_likelihoods(logits: torch.Tensor, texts: list[Ids]) -> list[Scored]:
    """How likely the tokens of `texts` (B, T) are by `logits` (B, T, V); those that are `UNASKED` do not count."""
    logits = logits.float()
    target = torch.tensor(texts, device=logits.device)
    asked = target >= 0
    values = logits.gather(2, target.clamp(min=0)[:, :, None])[:, :, 0] - logits.logsumexp(2)
    sums = torch.where(asked, values, 0.0).sum(1)
    greedy = ((logits.argmax(2) == target) | ~asked).all(1)
    return list(zip(sums.tolist(), greedy.tolist(), strict=True))
