"""A causal language model that answers and judges texts, in batches of similar length.

Both the held-out rows and lm-eval's tasks come here. Work is done in token ids: what was rendered is what is asked.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

from tasks.chat.reasoning import Markers, ReasoningReader
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.evaluate.answer_store import AnswerStore
from tasks.evaluate.batches import batches
from tasks.evaluate.common_starts import families
from tasks.evaluate.in_process import InProcess, group_size, vocabulary
from tasks.evaluate.settings import Settings
from tasks.evaluate.shared_prompt import Group, Ids, Scored
from tasks.evaluate.stops import cut_at_stop

Decoded = tuple[str, int, str, str, bool, str]
"""Fields of an `Answer`."""

PROMPT_END = 32
"""Tokens at the end of a prompt in which it may open reasoning."""

QUEUE = 4
"""Batches of rows that one process works on together, where there are as many: a row that is finished leaves its place
to the next. Also the batches that the texts after a batch of prompts may fill."""


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


class Computation(Protocol):
    """What computes a model's tokens: transformers in this process, or vLLM."""

    name: str
    """Part of what is on record, so that no answer of one stands for that of another."""

    def answers(
        self, start: int, batch: list[Ids], max_new_tokens: int, stops: tuple[str, ...], opened: list[Markers | None]
    ) -> list[Ids]:
        """Tokens of the greedy answer to each prompt, the one that ends it included; more may follow behind that one.

        `start`: tokens that all prompts begin with; `opened`: the reasoning that each prompt opens, if any.
        """

    def likelihoods(self, start: int, groups: list[Group]) -> list[list[Scored]]:
        """How likely each text of each group is after its context."""


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
        self.tokenizer, self.context, self.store = tokenizer, context, store
        self._carried_out: CarriedOut = carried_out or map
        self._rows, self._tokens = batch_size, batch_tokens
        self._vocabulary = vocabulary(model)
        self.stop_ids = stop_ids(model, tokenizer)
        self.reader = ReasoningReader.of(tokenizer)
        self._specials = token_pattern(special_tokens(tokenizer))
        self._computation: Computation = InProcess(
            model, tokenizer, stop_ids=self.stop_ids, reader=self.reader, rows=batch_size, tokens=batch_tokens
        )

    def by(self, computation: Computation, *, rows: int) -> Self:
        """The same engine, whose batches of at most `rows` rows are computed by `computation` here."""
        other = copy.copy(self)
        other._computation, other._carried_out = computation, map
        other._rows, other._tokens = rows, rows * self.context
        return other

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
        together = min(QUEUE * self._rows, max(self._rows, len(prompts) // QUEUE))
        parts = list(self._parts(prompts, [len(ids) + max_new_tokens for ids in prompts], together))
        by = self._computation.name
        asked = [
            [by, "answers", start, [prompts[index] for index in part], max_new_tokens, list(stops)]
            for start, part in parts
        ]
        for (_, indices), rows in zip(parts, self.store.each(asked, self._computed), strict=True):
            answers.update({index: Answer(*answer) for index, answer in zip(indices, rows, strict=True)})
            report(len(answers))
        return [answers[index] for index in range(len(prompts))]

    def likelihoods(self, pairs: list[tuple[Ids, Ids]], report: Callable[[int], None]) -> list[tuple[float, bool]]:
        """For each context and what follows it: its log-likelihood in nats, and whether greedy decoding says it.

        A context that is too long loses its start; who asks has counted that.
        """
        together: dict[Any, list[int]] = {}
        fitting: list[tuple[Ids, Ids]] = []
        for number, (context, text) in enumerate(pairs):
            fitting.append((context[-(self.context + 1 - len(text)) :], text[-self.context :]))
            numbers = together.setdefault(tuple(fitting[-1][0]), [])
            numbers.append(number)
            if len(numbers) == QUEUE * self._rows:
                together[number] = together.pop(tuple(fitting[-1][0]))  # others begin a group of their own
        members = list(together.values())
        groups: list[Group] = [
            (fitting[numbers[0]][0], [fitting[number][1] for number in numbers]) for numbers in members
        ]
        likelihoods: dict[int, tuple[float, bool]] = {}
        most = max(map(len, members), default=1)
        rows = max(1, min(self._rows, QUEUE * self._rows // most))
        sizes = [group_size(*group, self._vocabulary) for group in groups]
        parts = list(self._parts([context for context, _ in groups], sizes, rows))
        by = self._computation.name
        asked = [[by, "likelihoods", start, [groups[index] for index in part]] for start, part in parts]
        for (_, part), scored in zip(parts, self.store.each(asked, self._computed), strict=True):
            for index, values in zip(part, scored, strict=True):
                likelihoods.update(zip(members[index], map(tuple, values), strict=True))
            report(len(likelihoods))
        return [likelihoods[number] for number in range(len(pairs))]

    def options(self, prompts: list[Ids], texts: list[list[Ids]], report: Callable[[int], None]) -> list[list[float]]:
        """The log-likelihood in nats of each of the `texts` that may follow each of `prompts`, all within the context.

        ((good, bad),) = engine.options([prompt], [[good_ids, bad_ids]], lambda done: None)
        """
        pairs = [(ids, text) for ids, options in zip(prompts, texts, strict=True) for text in options]
        values = iter(self.likelihoods(pairs, lambda done: report(done * len(prompts) // len(pairs))))
        return [[next(values)[0] for _ in options] for options in texts]

    def _parts(self, rows: list[Ids], sizes: list[int], together: int) -> Iterator[tuple[int, list[int]]]:
        """Indices of rows that are worked on together, and in how many tokens they begin alike."""
        for start, members in families(rows):
            tokens = self._tokens * max(1, together // self._rows)
            for part in batches([sizes[index] for index in members], together, tokens):
                yield start, [members[place] for place in part]

    def compute(self, asked: list[Any]) -> list[Any]:
        """Work on one batch, as `answers` or `likelihoods` put it."""
        _, kind, start, batch, *limits = asked
        if kind == "likelihoods":
            return self._computation.likelihoods(start, batch)
        max_new_tokens, stops = limits
        return self._generate(batch, max_new_tokens, tuple(stops), start)

    def _computed(self, asked: list[Any]) -> Iterator[list[Any]]:
        return iter(self._carried_out(self.compute, asked))

    def _generate(self, batch: list[Ids], max_new_tokens: int, stops: tuple[str, ...], start: int) -> list[Decoded]:
        opened = [self.reader.opened_by(self.tokenizer.decode(prompt[-PROMPT_END:])) for prompt in batch]
        rows = self._computation.answers(start, batch, max_new_tokens, stops, opened)
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


def stop_ids(model: Any, tokenizer: Any) -> set[int]:
    """Tokens at which `model` stops: those of its generation settings, and the tokenizer's end token."""
    value = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(value if isinstance(value, list) else [value])} - {None}
