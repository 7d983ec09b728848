"""A causal language model that answers and judges texts, in batches of similar length.

Both the held-out rows and lm-eval's tasks come here. Work is done in token ids: what was rendered is what is asked.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import StoppingCriteriaList

from tasks.evaluate.answer_store import Record
from tasks.evaluate.batches import batches
from tasks.evaluate.stops import Stop, first

Ids = list[int]

LOGITS = 2048
"""Logits that count as one token where a batch is bounded: with 65,536 tokens they take at most half a gibibyte."""


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    tokens: int
    """Length, without the token that ended it."""
    finish: str
    """`stop` where the model ended its answer or a stop string stood in it, `length` where it was cut,
    `too_long` where the question did not fit into the context and was not asked."""


class Engine:
    """A model on its device, with the limits of a batch and the record of what is done."""

    def __init__(
        self, model: Any, tokenizer: Any, *, context: int, batch_size: int, batch_tokens: int, record: Record
    ) -> None:
        self.model, self.tokenizer, self.context, self.record = model, tokenizer, context, record
        self._rows, self._tokens = batch_size, batch_tokens
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
        plain = model.get_base_model() if hasattr(model, "peft_config") else model
        self._keeps = "logits_to_keep" in inspect.signature(plain.forward).parameters

    def answers(
        self, asked: list[Ids], most: int, report: Callable[[int], None], stops: tuple[str, ...] = ()
    ) -> list[Answer]:
        """The greedy answer of at most `most` tokens to each of `asked`, cut before the first of `stops`."""
        found: dict[int, Answer] = {}
        for places in batches([len(ids) + most for ids in asked], self._rows, self._tokens):
            batch = [asked[place] for place in places]
            made = self.record.answered(
                ["answers", batch, most, list(stops)], partial(self._generate, batch, most, stops)
            )
            found.update({place: Answer(*answer) for place, answer in zip(places, made, strict=True)})
            report(len(found))
        return [found[place] for place in range(len(asked))]

    def likelihoods(self, asked: list[tuple[Ids, Ids]], report: Callable[[int], None]) -> list[tuple[float, bool]]:
        """For each context and what follows it: its log-likelihood in nats, and whether greedy decoding says it.

        A context that is too long loses its start; who asks has counted that.
        """
        cut = [(context[-(self.context + 1 - len(after)) :], after[-self.context :]) for context, after in asked]
        found: dict[int, tuple[float, bool]] = {}
        vocabulary = int(getattr(self.model.config, "vocab_size", LOGITS))
        sizes = [max(len(context) + len(after), len(after) * vocabulary // LOGITS) for context, after in cut]
        for places in batches(sizes, self._rows, self._tokens):
            batch = [cut[place] for place in places]
            made = self.record.answered(["likelihoods", batch], partial(self._score, batch))
            found.update({place: (value, greedy) for place, (value, greedy) in zip(places, made, strict=True)})
            report(len(found))
        return [found[place] for place in range(len(asked))]

    @torch.inference_mode()
    def _generate(self, batch: list[Ids], most: int, stops: tuple[str, ...]) -> list[tuple[str, int, str]]:
        ids, mask = self._padded(batch)
        until = StoppingCriteriaList([Stop(self.tokenizer, stops, ids.shape[1])] if stops else [])
        made = self.model.generate(
            ids, attention_mask=mask, max_new_tokens=most, do_sample=False, stopping_criteria=until
        )
        ends = {self.tokenizer.eos_token_id}
        return [self._said(row, ends, stops) for row in made[:, ids.shape[1] :].tolist()]

    def _said(self, row: Ids, ends: set[int], stops: tuple[str, ...]) -> tuple[str, int, str]:
        end = next((place for place, token in enumerate(row) if token in ends), None)
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True)
        shown = first(text, stops)
        stopped = end is not None or shown != text
        length = end if end is not None else len(row)
        return shown, length, "stop" if stopped else "length"

    @torch.inference_mode()
    def _score(self, batch: list[tuple[Ids, Ids]]) -> list[tuple[float, bool]]:
        ids, mask = self._padded([(context + after)[:-1] for context, after in batch])
        places = (mask.cumsum(1) - 1).clamp(min=0)
        longest = max(1, *(len(after) for _, after in batch))
        more = {"logits_to_keep": longest} if self._keeps else {}
        logits = self.model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False, **more).logits
        logits = logits[:, -longest:].float()
        target, said = self._padded([after for _, after in batch], longest)
        chosen = logits.gather(2, target[:, :, None])[:, :, 0] - logits.logsumexp(2)
        values = torch.where(said.bool(), chosen, 0.0).sum(1)
        greedy = ((logits.argmax(2) == target) | ~said.bool()).all(1)
        return list(zip(values.tolist(), greedy.tolist(), strict=True))

    def _padded(self, batch: list[Ids], longest: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (rows, longest), padded on the left to the longest of them or `longest`."""
        longest = max(longest, *(len(ids) for ids in batch))
        ids = torch.full((len(batch), longest), self._pad)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for number, row in enumerate(batch):
            ids[number, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[number, longest - len(row) :] = 1
        return ids.to(self.model.device), mask.to(self.model.device)
