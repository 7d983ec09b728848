"""Rows of a batch computed whole, each with all of its prompt: for models whose keys and values cannot be copied.

Shapes: `B` rows of a batch, `T` tokens, `V` vocabulary. Ids and masks are (B, T), padded on the left; logits (B, T, V).
"""

from typing import Any

import torch
from transformers import StoppingCriteriaList

from tasks.chat.reasoning import Markers
from tasks.evaluate.shared_prompt import Ids, Scored, text_likelihoods
from tasks.evaluate.stops import Criterion, Stops


class PaddedRows:
    """A model that is asked by `generate` and by whole passes."""

    def __init__(self, model: Any, pad: int, *, trims_logits: bool) -> None:
        """`trims_logits`: whether the model can leave out logits that nobody reads."""
        self._model, self._pad, self._trims_logits = model, pad, trims_logits

    @torch.inference_mode()
    def answers(
        self, batch: list[Ids], max_new_tokens: int, stops: Stops | None, opened: list[Markers | None]
    ) -> list[Ids]:
        """The tokens of each answer and those that pad it; `opened`: the reasoning that each prompt opens, if any."""
        ids, mask = self._padded(batch)
        start = ids.shape[1]
        sequences = self._model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            stopping_criteria=StoppingCriteriaList([Criterion(stops, start, opened)] if stops else []),
        )
        answers: list[Ids] = sequences[:, start:].tolist()
        return answers

    @torch.inference_mode()
    def likelihoods(self, batch: list[tuple[Ids, Ids]]) -> list[Scored]:
        """How likely the second part of each pair is after the first."""
        ids, mask = self._padded([(context + text)[:-1] for context, text in batch])
        position_ids = (mask.cumsum(1) - 1).clamp(min=0)
        longest = max(1, *(len(text) for _, text in batch))
        limits = {"logits_to_keep": longest} if self._trims_logits else {}
        logits = self._model(
            input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False, **limits
        ).logits
        target, asked = self._padded([text for _, text in batch], longest)
        return text_likelihoods(logits[:, -longest:].float(), target.masked_fill(asked == 0, -1))

    def _padded(self, batch: list[Ids], longest: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (B, T), padded on the left to the longest row, or to `longest` if that is more."""
        longest = max(longest, *(len(ids) for ids in batch))
        ids = torch.full((len(batch), longest), self._pad)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for number, row in enumerate(batch):
            ids[number, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[number, longest - len(row) :] = 1
        return ids.to(self._model.device), mask.to(self._model.device)
