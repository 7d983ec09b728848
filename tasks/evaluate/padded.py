"""Rows of a batch computed whole, each with all of its prompt: for models whose keys and values cannot be copied.

Shapes: `B` rows of a batch, `T` tokens, `V` vocabulary. Ids and masks are (B, T), padded on the left; logits (B, T, V).
"""

from typing import Any

import torch
from transformers import StoppingCriteriaList

from tasks.chat.reasoning import Markers
from tasks.evaluate.shared_prompt import Ids, Scored, at_the_end, text_likelihoods
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
        target = at_the_end([text for _, text in batch])
        limits = {"logits_to_keep": len(target[0])} if self._trims_logits else {}
        logits = self._model(
            input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False, **limits
        ).logits
        return text_likelihoods(logits[:, -len(target[0]) :], target)

    def _padded(self, batch: list[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (B, T), padded on the left to the longest row."""
        longest = max(map(len, batch))
        ids = torch.full((len(batch), longest), self._pad)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for number, row in enumerate(batch):
            ids[number, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[number, longest - len(row) :] = 1
        return ids.to(self._model.device), mask.to(self._model.device)
