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
        contexts = [context for context, _ in groups]
        if not (known := self.prefilled(start, contexts)):
            return None
        if all(len(texts) == 1 for _, texts in groups):
            last = [context[-1:] for context in contexts]
            return [[one] for one in self._scored(known, last, [text for _, (text,) in groups])]
        logits, known = self._passed(known, [context[-1:] for context in contexts], 1)
        first = logits[:, 0].float()  # (B, V): what follows each context
        log_probabilities, likeliest = first.log_softmax(-1), first.argmax(-1).tolist()
        scored = [
            [(float(row[text[0]]), best == text[0]) for text in texts]
            for row, best, (_, texts) in zip(log_probabilities, likeliest, groups, strict=True)
        ]
        longer = [(at, number) for at, (_, texts) in enumerate(groups) for number, text in enumerate(texts) if text[1:]]
        longer.sort(key=lambda place: -len(groups[place[0]][1][place[1]]))
        for begin in range(0, len(longer), at_once):
            part = longer[begin : begin + at_once]
            each = known.rows(torch.tensor([at for at, _ in part], device=first.device))
            texts = [groups[at][1][number] for at, number in part]
            after = self._scored(each, [text[:1] for text in texts], [text[1:] for text in texts])
            for (at, number), (value, greedy) in zip(part, after, strict=True):
                before, likeliest_first = scored[at][number]
                scored[at][number] = (before + value, likeliest_first and greedy)
        return scored

    @torch.inference_mode()
    def prefilled(self, start: int, prompts: list[Ids]) -> KeyValues | None:
        """Keys and values of all but the last token of each of `prompts`, which share their first `start` tokens.

        None where those of a row cannot be copied (`KeyValues.empty`), or a prompt has a single token.
        """
        known = self._after(prompts[0][:start], len(prompts))
        behind = [ids[start:-1] for ids in prompts]
        if not known or min(map(len, prompts)) < 2:
            return None
        if not (width := max(map(len, behind))):
            return known
        _, known = self._passed(known, behind, 1)
        lengths = torch.tensor([len(ids) for ids in behind], device=self._model.device)
        return known.rows(torch.arange(len(prompts), device=lengths.device), width - lengths)

    @torch.inference_mode()
    def step(self, known: KeyValues, newest: Ids) -> tuple[Ids, KeyValues]:
        """The likeliest token after the newest of each row, and what is known of the rows then."""
        logits, known = self._passed(known, [[token] for token in newest], 1)
        return logits[:, 0].float().argmax(-1).tolist(), known

    def _after(self, start: Ids, rows: int) -> KeyValues | None:
        """What is known after `start`, for each of `rows` rows; None where that cannot be copied."""
        if not self._empty or not self._started:
            return None
        first = torch.zeros(1, dtype=torch.long, device=self._model.device)
        if self._start != start:
            # a pass fills the cache that it is given, and the empty one begins the next start, too
            empty = self._empty.rows(first)
            self._start, self._started = start, self._passed(empty, [start], 1)[1] if start else empty
        return self._started.rows(first.expand(rows))

    def _passed(self, known: KeyValues, rows: list[Ids], kept: int) -> tuple[torch.Tensor, KeyValues]:
        """Logits at the last `kept` places of `rows`, (B, kept, V), and what is known with them.

        Padding on the right changes nothing before it: each token sees what stands to its left. It has the position of
        the row's last token, for there may be none beyond.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._pad] * (width - len(row))] for row in rows], device=self._model.device)
        lengths = torch.tensor([known.length + len(row) for row in rows], device=ids.device)
        places = torch.arange(known.length + width, device=ids.device)
        mask = (places >= known.pads[:, None]) & (places < lengths[:, None])
        logits = self._model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=places[known.length :].minimum(lengths[:, None] - 1) - known.pads[:, None],
            past_key_values=known.cache,
            use_cache=True,
            **({"logits_to_keep": kept} if self._trims_logits else {}),
        ).logits
        return logits[:, -kept:], known.extended(width)

    def _scored(self, known: KeyValues, contexts: list[Ids], texts: list[Ids]) -> list[Scored]:
        """How likely each of `texts` is after its context, which is one token."""
        rows = [[*context, *text[:-1]] for context, text in zip(contexts, texts, strict=True)]
        width = max(map(len, rows))
        logits = self._passed(known, rows, width)[0].float()  # (B, T, V)
        target = torch.tensor([[*text, *[-1] * (width - len(text))] for text in texts], device=logits.device)
        return text_likelihoods(logits, target)


def text_likelihoods(logits: torch.Tensor, target: torch.Tensor) -> list[Scored]:
    """How likely the tokens `target` (B, T) are by `logits` (B, T, V); negative ones are not asked."""
    asked = target >= 0
    values = logits.gather(2, target.clamp(min=0)[:, :, None])[:, :, 0] - logits.logsumexp(2)
    sums = torch.where(asked, values, 0.0).sum(1)
    greedy = ((logits.argmax(2) == target) | ~asked).all(1)
    return list(zip(sums.tolist(), greedy.tolist(), strict=True))
