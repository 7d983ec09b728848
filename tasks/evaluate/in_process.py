"""A model of transformers, or of llama.cpp, that answers and judges batches in this process.

Shapes: `B` rows of a batch, `T` tokens, `V` vocabulary. Ids and masks are (B, T), padded on the left; logits (B, T, V).
"""

import inspect
from typing import Any

from tasks.chat.reasoning import Markers, ReasoningReader
from tasks.evaluate.decoding import greedy
from tasks.evaluate.padded import PaddedRows
from tasks.evaluate.shared_prompt import Group, Ids, Scored, SharedPrompts
from tasks.evaluate.stops import Stops

LOGITS = 2048
"""Logits that count as one token where a batch is bounded: with 65,536 tokens they take at most half a gibibyte."""


class InProcess:
    """See `tasks.evaluate.engine.Computation`. What prompts share is computed once, where the model allows it."""

    name = "transformers"

    def __init__(
        self, model: Any, tokenizer: Any, *, stop_ids: set[int], reader: ReasoningReader, rows: int, tokens: int
    ) -> None:
        """`rows`, `tokens`: at most so many go through the model together."""
        self._tokenizer, self._stop_ids, self._reader = tokenizer, stop_ids, reader
        self._rows, self._tokens, self._vocabulary = rows, tokens, vocabulary(model)
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
        plain = model.get_base_model() if hasattr(model, "peft_config") else model
        trims_logits = "logits_to_keep" in inspect.signature(plain.forward).parameters
        self._shared = SharedPrompts(model, pad, trims_logits=trims_logits)
        self._whole = PaddedRows(model, pad, trims_logits=trims_logits)

    def answers(
        self, start: int, batch: list[Ids], max_new_tokens: int, stops: tuple[str, ...], opened: list[Markers | None]
    ) -> list[Ids]:
        """See `Computation`."""
        criterion = Stops(self._tokenizer, stops, self._reader)
        at_once = self._at_once(max(map(len, batch)) + max_new_tokens)

        def ended(number: int, answer: Ids) -> bool:
            return answer[-1] in self._stop_ids or criterion.ended(answer, opened[number])

        rows = greedy(self._shared, start, batch, at_once, max_new_tokens, ended)
        if rows is None:
            rows = []
            for begin in range(0, len(batch), at_once):
                part = slice(begin, begin + at_once)
                rows += self._whole.answers(batch[part], max_new_tokens, criterion if stops else None, opened[part])
        return rows

    def likelihoods(self, start: int, groups: list[Group]) -> list[list[Scored]]:
        """See `Computation`."""
        at_once = self._at_once(max(group_size(*group, self._vocabulary) for group in groups))
        alone = not start and all(len(texts) == 1 for _, texts in groups)
        if not alone and (scored := self._shared.likelihoods(start, groups, at_once)):
            return scored
        pairs = [(context, text) for context, texts in groups for text in texts]
        order = sorted(range(len(pairs)), key=lambda number: -sum(map(len, pairs[number])))
        values: dict[int, Scored] = {}
        for begin in range(0, len(order), at_once):
            part = order[begin : begin + at_once]
            values.update(zip(part, self._whole.likelihoods([pairs[number] for number in part]), strict=True))
        each = iter(range(len(pairs)))
        return [[values[next(each)] for _ in texts] for _, texts in groups]

    def _at_once(self, longest: int) -> int:
        """Rows of `longest` tokens that go through the model together."""
        return max(1, min(self._rows, self._tokens // longest))


def vocabulary(model: Any) -> int:
    """Logits of a token."""
    return int(getattr(model.config, "vocab_size", LOGITS))


def group_size(context: Ids, texts: list[Ids], vocabulary: int) -> int:
    """Tokens that the longest of some texts counts with its context, and with its logits."""
    longest = max(map(len, texts))
    return max(len(context) + longest, longest * vocabulary // LOGITS)
