"""The engine as lm-eval wants a model: its tasks ask, the engine answers in batches, on record.

Prompts are tokenised as lm-eval's own model does, with one difference: what the chat template rendered gets no further
special tokens, as in training.
"""

import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError
from tasks.core.paths import PATHS
from tasks.evaluate.engine import Engine

GENERATED = 256
"""Tokens of an answer where a task does not say, as in lm-eval."""


class Harness(TemplateLM):  # type: ignore[misc]
    """One engine for one task, rendered or raw."""

    def __init__(self, engine: Engine, *, chat: bool, report: Callable[[str, int], Callable[[int], None]]) -> None:
        """`chat`: whether questions come rendered; `report(what, total)` gives a function that tells how far it is."""
        super().__init__()
        self.engine, self.tokenizer, self._chat, self._report = engine, engine.tokenizer, chat, report
        # the choices of a question come one after the other, each with the question before it
        self._ids = lru_cache(16)(lambda text, special: tuple(self.tokenizer.encode(text, add_special_tokens=special)))
        self._begin = self.tokenizer.decode(self.prefix_token_id)
        self.truncated: list[int] = []
        """Lengths in tokens of the questions that did not fit into the context."""
        self.cut: Counter[str] = Counter()
        """By task, the answers that were cut at its max_gen_toks before anything had ended them."""
        self.first: str | None = None
        """The first question as it was asked."""

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that has nothing before it."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def tokenizer_name(self) -> str:
        """Without a path: lm-eval keeps it in its results."""
        return "tokenizer"

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template that questions are rendered with, if they are."""
        return str(self.tokenizer.chat_template) if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A dialogue as training rendered it. An answer that is begun already stands open at the end."""
        renderer = Renderer(self.tokenizer)
        if add_generation_prompt:
            return renderer.render(list(chat_history), generation_prompt=True)
        *turns, begun = chat_history
        return renderer.render(turns, generation_prompt=True) + begun["content"]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids of `string`; special tokens as the tokenizer adds them, unless they stand there already."""
        if add_special_tokens is None:
            add_special_tokens = not self._chat and not (self._begin and string.startswith(self._begin))
        return list(self._ids(string, add_special_tokens))

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """As lm-eval calls it, without its bar. Raises `InputError` for an empty answer, which is always certain."""
        if empty := [
            context for context, continuation in (request.args for request in requests) if not continuation.strip()
        ]:
            raise InputError(
                f"evaluate.benchmarks: {len(empty)} of {len(requests)} answers to be scored by likelihood are empty, "
                f"such as the one after {empty[0][-40:]!r}, and an empty answer always has likelihood 1; give the task "
                "other answers, or remove it."
            )
        self.first = self.first or "".join(requests[0].args)
        likelihoods: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return likelihoods

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of whole texts, in windows where they are longer than the context."""
        pairs, owners = [], []
        for owner, request in enumerate(requests):
            (text,) = request.args
            self.first = self.first or text
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.engine.context,
                context_len=1,
            )
            for window in map(make_disjoint_window, windows):
                pairs.append(window)
                owners.append(owner)
        sums = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._likelihoods(pairs), strict=True):
            sums[owner] += value
        return sums

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """As lm-eval cuts them; but a text that one token joins to what stands before it is encoded by itself.

        lm-eval leaves nothing of it then, and takes nothing for certain: log-likelihood 0, said by greedy decoding.
        """
        before, after = super()._encode_pair(context, continuation)
        return before, after or self.tok_encode(continuation, add_special_tokens=False)

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        return self._likelihoods([(context, continuation) for _, context, continuation in requests])

    def _likelihoods(self, pairs: list[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        lengths = [len(context) + len(continuation) for context, continuation in pairs]
        self.truncated += [length for length in lengths if length > self.engine.context + 1]
        return self.engine.likelihoods(pairs, self._report("texts", len(pairs)))

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """Greedy answers, each cut before the first of its task's stop strings. Raises `InputError` for sampling."""
        self.first = self.first or requests[0].args[0]
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True, default=str), []).append(index)
        texts = [""] * len(requests)
        for indices in groups.values():
            generation = normalize_gen_kwargs(requests[indices[0]].args[1], GENERATED)
            if generation.get("do_sample") or generation.get("temperature"):
                raise InputError(
                    "evaluate.benchmarks: a task draws its answers at random (do_sample, temperature); temper decodes "
                    "greedily, so that scores can be reproduced. Remove the task, or set do_sample: false in it."
                )
            max_new_tokens = int(generation["max_gen_toks"])
            if max_new_tokens >= self.engine.context:
                raise InputError(
                    f"evaluate.benchmarks: a task asks for answers of {max_new_tokens} tokens (max_gen_toks), but the "
                    f"model's context has only {self.engine.context}; write the task as YAML in {PATHS.scoring} with a "
                    "smaller one."
                )
            prompt_tokens = self.engine.context - max_new_tokens
            prompts = [self.tok_encode(requests[index].args[0]) for index in indices]
            self.truncated += [len(ids) + max_new_tokens for ids in prompts if len(ids) > prompt_tokens]
            stops = generation.get("until") or []
            answers = self.engine.answers(
                [ids[-prompt_tokens:] for ids in prompts],
                max_new_tokens,
                self._report("answers", len(prompts)),
                tuple([stops] if isinstance(stops, str) else stops),
            )
            for index, answer in zip(indices, answers, strict=True):
                texts[index] = answer.text
                self.cut[requests[index].task_name] += answer.finish == "length"
        return texts
