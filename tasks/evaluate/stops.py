"""Stop strings: where they cut an answer, and when a row need not go on.

transformers' own criterion compares every string with the end of every row at every token, which costs a small model a
tenth of its time, and stops within what a model thinks.

Shapes: `B` rows of a batch, `T` tokens.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from transformers import StoppingCriteria

from tasks.chat.reasoning import Markers, ReasoningReader

BLANKS = "\u0120\u2581"
"""How tokenizers write a space at the start of a token, which decoding the token alone may drop."""

PART = "\ufffd"
"""What a token decodes to that holds some bytes of a character."""


ANY_REASONING = ReasoningReader()


def cut_at_stop(
    text: str, stops: tuple[str, ...], reader: ReasoningReader = ANY_REASONING, opened: Markers | None = None
) -> str:
    """`text` up to the first of `stops`. What a model thinks is no answer: stops count from behind it.

    `opened`: the markers of the reasoning that the prompt opened, if any.
    """
    answer = reader.split(text, opened).answer  # the end of the text
    cut = min((position for stop in stops if stop and (position := answer.find(stop)) >= 0), default=len(answer))
    return text[: len(text) - len(answer) + cut]


class Stops:
    """Says whether a stop string stands in an answer that has a token more.

    An answer is read only after a token in which a stop string may end: most tokens are passed over by one look-up.
    """

    def __init__(self, tokenizer: Any, stops: tuple[str, ...], reader: ReasoningReader = ANY_REASONING) -> None:
        self._tokenizer, self._stops, self._reader = tokenizer, stops, reader
        self._last = _stop_end_ids(tokenizer, stops) if stops else frozenset()

    def ended(self, answer: Sequence[int], opened: Markers | None) -> bool:
        """Whether `answer` holds a stop string since its last token; `opened`: what its prompt opened, if anything."""
        if answer[-1] not in self._last:
            return False
        # with control tokens: a stop string may be one that does not end the model's own answers
        text = self._tokenizer.decode(answer, skip_special_tokens=False)
        return bool(cut_at_stop(text, self._stops, self._reader, opened) != text)


class Criterion(StoppingCriteria):  # type: ignore[misc]
    """`Stops`, as transformers' `generate` asks them, of rows whose answers begin after `start` tokens."""

    def __init__(self, stops: Stops, start: int, opened: Sequence[Markers | None]) -> None:
        self._stops, self._start, self._opened = stops, start, opened

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """One bool a row of `input_ids` (B, T): a tensor (B)."""
        answers = input_ids[:, self._start :].tolist()
        ends = [self._stops.ended(row, markers) for row, markers in zip(answers, self._opened, strict=True)]
        return torch.tensor(ends, device=input_ids.device)


@lru_cache(8)
def _stop_end_ids(tokenizer: Any, stops: tuple[str, ...]) -> frozenset[int]:
    """Tokens in which one of `stops` may end: its last character, or a part of one, stands in them."""
    last_characters = {stop[-1] for stop in stops if stop}
    last_characters |= set(BLANKS) if " " in last_characters else set()
    token_ids = list(range(len(tokenizer)))
    names = tokenizer.convert_ids_to_tokens(token_ids)
    texts = tokenizer.batch_decode([[token_id] for token_id in token_ids], skip_special_tokens=False)
    return frozenset(
        token_id
        for token_id, text, name in zip(token_ids, texts, names, strict=True)
        if not text
        or PART in text
        or not last_characters.isdisjoint(text)
        or not last_characters.isdisjoint(name or "")
    )
