"""Stop strings: where they cut an answer, and when a row of a batch need not go on.

transformers' own criterion compares every string with the end of every row at every token, which costs a small model a
tenth of its time, and stops within what a model thinks.
"""

from functools import lru_cache
from typing import Any

import torch
from transformers import StoppingCriteria

THOUGHT = "</think>"

BLANKS = "\u0120\u2581"
"""How tokenizers write a space at the start of a token, which decoding the token alone may drop."""

PART = "\ufffd"
"""What a token decodes to that holds some bytes of a character."""


def first(text: str, stops: tuple[str, ...]) -> str:
    """`text` up to the first of `stops`. What a model thinks is no answer: stops count from behind it."""
    thought, end, said = text.rpartition(THOUGHT)
    if not end and "<think>" in text:
        return text
    cut = min((place for stop in stops if stop and (place := said.find(stop)) >= 0), default=len(said))
    return thought + end + said[:cut]


class Stop(StoppingCriteria):  # type: ignore[misc]
    """Tells `generate` of each row whether a stop string stands in what follows its `start` tokens.

    A row is read only after a token in which a stop string may end: most tokens are passed over by one look-up.
    """

    def __init__(self, tokenizer: Any, stops: tuple[str, ...], start: int) -> None:
        self._tokenizer, self._stops, self._start = tokenizer, stops, start
        self._last = _last(tokenizer, stops)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """One bool a row of `input_ids` (rows, tokens)."""
        newest = input_ids[:, -1].tolist()
        ends = [token in self._last and self._stands(row) for token, row in zip(newest, input_ids, strict=True)]
        return torch.tensor(ends, device=input_ids.device)

    def _stands(self, row: torch.Tensor) -> bool:
        # with control tokens: a stop string may be one that does not end the model's own answers
        text = self._tokenizer.decode(row[self._start :], skip_special_tokens=False)
        return bool(first(text, self._stops) != text)


@lru_cache(8)
def _last(tokenizer: Any, stops: tuple[str, ...]) -> frozenset[int]:
    """Tokens in which one of `stops` may end: its last character, or a part of one, stands in them."""
    wanted = {stop[-1] for stop in stops if stop}
    wanted |= set(BLANKS) if " " in wanted else set()
    numbers = list(range(len(tokenizer)))
    names = tokenizer.convert_ids_to_tokens(numbers)
    texts = tokenizer.batch_decode([[number] for number in numbers], skip_special_tokens=False)
    return frozenset(
        number
        for number, text, name in zip(numbers, texts, names, strict=True)
        if not text or PART in text or not wanted.isdisjoint(text) or not wanted.isdisjoint(name or "")
    )
