"""A causal language model that answers and judges texts, in batches of similar length.

Both the held-out rows and lm-eval's tasks come here. Work is done in token ids: what was rendered is what is asked.

Shapes: `B` rows of a batch, `T` tokens, `V` vocabulary. Ids and masks are (B, T), padded on the left; logits (B, T, V).
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from transformers import StoppingCriteriaList

from tasks.chat.reasoning import Markers, ReasoningReader
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.evaluate.answer_store import AnswerStore
from tasks.evaluate.batches import batches
from tasks.evaluate.settings import Settings
from tasks.evaluate.shared_prompt import shared_likelihoods
from tasks.evaluate.stops import Stop, cut_at_stop

Ids = list[int]
Decoded = tuple[str, int, str, str, bool, str]
"""Fields of an `Answer`."""

PROMPT_END = 32
"""Tokens at the end of a prompt in which it may open reasoning."""

SHARED = 8
"""Texts after one prompt from which on it is computed once for all of them; fewer are quicker beside other rows'."""

LOGITS = 2048
"""Logits that count as one token where a batch is bounded: with 65,536 tokens they take at most half a gibibyte."""


@dataclass(frozen=True)
class Answer:
    """What a model said."""

    text: str
    """The answer, without what the model thought before it."""
    tokens: int
    """Length with the reasoning, without the token that ended it."""
    finish: str
    """`stop` where the model ended its answer or a stop string stood in it, `length` where it was cut,
    `too_long` where the question did not fit into the context and was not asked."""
    reasoning: str = ""
    """What the model thought."""
    ended: bool = True
    """Whether that came to its end; where it did not, there is no answer."""
    raw: str = ""
    """The answer with its control tokens, of which calls of tools are made; of an endpoint its calls, as JSON."""


CarriedOut = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, carried out by processes or a cluster."""


class Engine:
    """A model on its device, with the limits of a batch and the record of what is done."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        context: int,
        batch_size: int,
        batch_tokens: int,
        store: AnswerStore,
        carried_out: CarriedOut | None = None,
    ) -> None:
        """`carried_out`: has the batches worked on; None: this process works on one after the other."""
        self.model, self.tokenizer, self.context, self.store = model, tokenizer, context, store
        self._carried_out: CarriedOut = carried_out or map
        self._rows, self._tokens = batch_size, batch_tokens
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
        plain = model.get_base_model() if hasattr(model, "peft_config") else model
        self.stop_ids = stop_ids(model, tokenizer)
        self.reader = ReasoningReader.of(tokenizer)
        self._specials = token_pattern(special_tokens(tokenizer))
        self._trims_logits = "logits_to_keep" in inspect.signature(plain.forward).parameters

    @classmethod
    def of(
        cls,
        settings: Settings,
        model: Any,
        tokenizer: Any,
        context: int,
        store: AnswerStore,
        carried_out: CarriedOut | None = None,
    ) -> Self:
        """An engine with the batches of the section `evaluate`."""
        return cls(
            model,
            tokenizer,
            context=context,
            batch_size=settings.batch_size,
            batch_tokens=settings.batch_tokens,
            store=store,
            carried_out=carried_out,
        )

    def answers(
        self, prompts: list[Ids], max_new_tokens: int, report: Callable[[int], None], stops: tuple[str, ...] = ()
    ) -> list[Answer]:
        """The greedy answer to each of `prompts`, of at most `max_new_tokens` tokens, cut before the first of `stops`.

            (answer,) = engine.answers([tokenizer("Hello")["input_ids"]], 16, lambda done: None)
            answer.text, answer.finish

        Answers come in the order of `prompts`.
        """
        answers: dict[int, Answer] = {}
        parts = list(batches([len(ids) + max_new_tokens for ids in prompts], self._rows, self._tokens))
        asked = [["answers", [prompts[index] for index in part], max_new_tokens, list(stops)] for part in parts]
        for indices, rows in zip(parts, self.store.each(asked, self._computed), strict=True):
            answers.update({index: Answer(*answer) for index, answer in zip(indices, rows, strict=True)})
            report(len(answers))
        return [answers[index] for index in range(len(prompts))]

    def likelihoods(self, pairs: list[tuple[Ids, Ids]], report: Callable[[int], None]) -> list[tuple[float, bool]]:
        """For each context and what follows it: its log-likelihood in nats, and whether greedy decoding says it.

        A context that is too long loses its start; who asks has counted that.
        """
        fitting = [
            (context[-(self.context + 1 - len(continuation)) :], continuation[-self.context :])
            for context, continuation in pairs
        ]
        likelihoods: dict[int, tuple[float, bool]] = {}
        vocabulary = int(getattr(self.model.config, "vocab_size", LOGITS))
        sizes = [
            max(len(context) + len(continuation), len(continuation) * vocabulary // LOGITS)
            for context, continuation in fitting
        ]
        parts = list(batches(sizes, self._rows, self._tokens))
        asked = [["likelihoods", [fitting[index] for index in part]] for part in parts]
        for indices, scored in zip(parts, self.store.each(asked, self._computed), strict=True):
            likelihoods.update({index: (value, greedy) for index, (value, greedy) in zip(indices, scored, strict=True)})
            report(len(likelihoods))
        return [likelihoods[index] for index in range(len(pairs))]

    def options(self, prompts: list[Ids], texts: list[list[Ids]], report: Callable[[int], None]) -> list[list[float]]:
        """The log-likelihood in nats of each of the `texts` that may follow each of `prompts`, all within the context.

        ((good, bad),) = engine.options([prompt], [[good_ids, bad_ids]], lambda done: None)
        """
        if max(map(len, texts), default=0) < SHARED:
            pairs = [(ids, text) for ids, options in zip(prompts, texts, strict=True) for text in options]
            scored = self.likelihoods(pairs, lambda done: report(done * len(prompts) // len(pairs)))
            values = iter([value for value, _ in scored])
            return [[next(values) for _ in options] for options in texts]
        asked = [["options", [ids], options] for ids, options in zip(prompts, texts, strict=True)]
        likelihoods: list[list[float]] = []
        for options in self.store.each(asked, self._computed):
            likelihoods.append([float(value) for value in options])
            report(len(likelihoods))
        return likelihoods

    def compute(self, asked: list[Any]) -> list[Any]:
        """Work on one batch, as `answers`, `likelihoods` or `options` put it."""
        kind, batch, *limits = asked
        if kind == "likelihoods":
            return self._score(batch)
        if kind == "options":
            return self._options(batch[0], limits[0])
        max_new_tokens, stops = limits
        return self._generate(batch, max_new_tokens, tuple(stops))

    def _computed(self, asked: list[Any]) -> Iterator[list[Any]]:
        return iter(self._carried_out(self.compute, asked))

    @torch.inference_mode()
    def _generate(self, batch: list[Ids], max_new_tokens: int, stops: tuple[str, ...]) -> list[Decoded]:
        ids, mask = self._padded(batch)
        opened = [self.reader.opened_by(self.tokenizer.decode(prompt[-PROMPT_END:])) for prompt in batch]
        stop = Stop(self.tokenizer, stops, ids.shape[1], self.reader, opened)
        sequences = self.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            stopping_criteria=StoppingCriteriaList([stop] if stops else []),
        )
        rows = sequences[:, ids.shape[1] :].tolist()
        return [self._decoded(row, stops, markers) for row, markers in zip(rows, opened, strict=True)]

    def _decoded(self, ids: Ids, stops: tuple[str, ...], opened: Markers | None) -> Decoded:
        end = next((position for position, token in enumerate(ids) if token in self.stop_ids), None)
        length = end if end is not None else len(ids)
        text = self.tokenizer.decode(ids[:end])  # with control tokens, of which markers are made
        split = self.reader.split(text, opened)
        plain = split.answer == text and not opened
        if plain:
            text = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        cut = cut_at_stop(text, stops, self.reader, opened)
        finish = "stop" if end is not None or cut != text else "length"
        if plain:
            return cut, length, finish, "", True, split.answer
        raw, split = split.answer, self.reader.split(cut, opened)
        return self._plain(split.answer), length, finish, self._plain(split.reasoning), split.ended, raw

    def _plain(self, text: str) -> str:
        """A text without special tokens."""
        return self._specials.sub("", text)

    @torch.inference_mode()
    def _score(self, batch: list[tuple[Ids, Ids]]) -> list[tuple[float, bool]]:
        ids, mask = self._padded([(context + continuation)[:-1] for context, continuation in batch])
        position_ids = (mask.cumsum(1) - 1).clamp(min=0)
        longest = max(1, *(len(continuation) for _, continuation in batch))
        limits = {"logits_to_keep": longest} if self._trims_logits else {}
        logits = self.model(
            input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False, **limits
        ).logits
        logits = logits[:, -longest:].float()
        target, target_mask = self._padded([continuation for _, continuation in batch], longest)
        log_probabilities = logits.gather(2, target[:, :, None])[:, :, 0] - logits.logsumexp(2)
        log_likelihoods = torch.where(target_mask.bool(), log_probabilities, 0.0).sum(1)
        greedy = ((logits.argmax(2) == target) | ~target_mask.bool()).all(1)
        return list(zip(log_likelihoods.tolist(), greedy.tolist(), strict=True))

    @torch.inference_mode()
    def _options(self, prompt: Ids, texts: list[Ids]) -> list[float]:
        longest = len(prompt) + max(map(len, texts))
        rows = max(1, min(self._rows, self._tokens // longest))
        limits = {"logits_to_keep": 1} if self._trims_logits else {}
        if (shared := shared_likelihoods(self.model, prompt, texts, rows, self._pad, **limits)) is not None:
            return shared
        parts = (texts[start : start + rows] for start in range(0, len(texts), rows))
        return [value for part in parts for value, _ in self._score([(prompt, text) for text in part])]

    def _padded(self, batch: list[Ids], longest: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (B, T), padded on the left to the longest row, or to `longest` if that is more."""
        longest = max(longest, *(len(ids) for ids in batch))
        ids = torch.full((len(batch), longest), self._pad)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for number, row in enumerate(batch):
            ids[number, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[number, longest - len(row) :] = 1
        return ids.to(self.model.device), mask.to(self.model.device)


def stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """Tokens at which `model` stops: those of its generation settings, and the tokenizer's end token."""
    value = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(value if isinstance(value, list) else [value])} - {None}
