"""Answers of the model to a few held-out prompts while it is trained, the most likely token at each place.

They stand in the trainer's log, which every checkpoint holds: a run that goes on has those of before, each once. The
weights are those of a run without them.

    asked = Asked("train", settings.samples, rows, tokenizer, folder, model, every=100)
    fit(..., callbacks=[asked])
    asked.save(out)  # out/samples.json
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, TrainerCallback

from tasks.chat.stops import ordered, stop_ids
from tasks.core.files import write_json
from tasks.core.paths import PATHS
from tasks.rows.canonical import IGNORED
from tasks.training import distributed, sharding
from tasks.training.arguments import computes_in
from tasks.training.rows import last_answer
from tasks.training.settings import Samples

ANSWERED, DRAWN = "samples", "drawn"
"""Keys of an entry of the log: answers to the fixed prompts, and some that the training itself drew."""

LOOKED = 1000
"""Rows that are looked at, at most, for one with a prompt."""

TOGETHER = 4096
"""Tokens of prompts, padded, that are answered at one time, at most; one prompt alone may have more."""

SHORT = 60
"""Characters of the answer that is printed."""

Ids = list[int]
Rewards = Callable[..., list[float]]


class Asked(TrainerCallback):  # type: ignore[misc]
    """Called by the trainer at its start, each evaluation and its end; without evaluations every `every` steps."""

    def __init__(
        self,
        what: str,
        settings: Samples,
        rows: Any,
        tokenizer: Any,
        folder: Path,
        model: Any,
        *,
        every: int,
    ) -> None:
        """`rows`: those of the validation split, with token ids. `folder`: of the tokenizer, which says where answers
        end. `model`: whose context bounds prompts and answers."""
        self.what, self.settings, self.tokenizer, self.every = what, settings, tokenizer, every
        self.turns = spread(rows, settings.prompts, _context(model) - settings.tokens) if settings.prompts else []
        self.stops = ordered(stop_ids(folder, tokenizer), tokenizer) if self.turns else []
        self.drawn: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        if settings.prompts and not self.turns and not distributed.rank():
            print(
                f"{what}: no sampled answers, because no validation row with a question and an answer leaves room for "
                f"{settings.tokens} tokens in the context",
                flush=True,
            )

    def watch(self, functions: list[Rewards], weights: list[float]) -> list[Rewards]:
        """`functions`, which say what answers are worth, with the first answers of each batch kept to be shown."""
        return [
            self._watched(function, weight, first=at == 0)
            for at, (function, weight) in enumerate(zip(functions, weights, strict=True))
        ]

    def _watched(self, function: Rewards, weight: float, *, first: bool) -> Rewards:
        def rewarded(prompts: Any, completions: Any, completion_ids: Any, **rest: Any) -> list[float]:
            values = function(prompts=prompts, completions=completions, completion_ids=completion_ids, **rest)
            count = self.settings.prompts
            if first:
                references = rest.get("reference", [""] * len(prompts))
                self.drawn = [
                    {"prompt": self._text(prompt), "answer": self._text(ids), "reference": reference, "rewards": {}}
                    for prompt, ids, reference in zip(
                        prompts[:count], completion_ids[:count], references[:count], strict=True
                    )
                ]
            for answer, value in zip(self.drawn, values[:count], strict=True):
                answer["rewards"][function.__name__] = {"value": float(value), "weight": weight}
            return values

        rewarded.__name__ = function.__name__
        return rewarded

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Before the first step; a run that goes on asked then."""
        if not state.global_step:
            self._ask(args, state, model)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """At each evaluation, whose weights these are where an optimiser has others while it trains."""
        self._ask(args, state, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """At steps that no evaluation follows: the last one, and where there are none, each so many."""
        counted = args.eval_strategy == "no" and state.global_step % self.every == 0
        if (counted or state.global_step >= state.max_steps) and not control.should_evaluate:
            self._ask(args, state, model)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep what the log has."""
        self.entries = [entry for entry in state.log_history if ANSWERED in entry]

    def save(self, out: Path) -> None:
        """Write what was asked and answered into the folder `out`, if anything was."""
        if not self.entries:
            return
        asked = [{"prompt": self._text(prompt), "reference": self._text(reference)} for prompt, reference in self.turns]
        write_json(PATHS.samples(out), {"prompts": asked, "steps": self.entries})

    def _ask(self, args: Any, state: Any, model: Any) -> None:
        if any(ANSWERED in entry and entry["step"] == state.global_step for entry in state.log_history):
            return
        if not (self.turns or self.drawn) or (distributed.rank() and not sharding.is_shared(model)):
            return
        training = model.training
        model.eval()
        halved = computes_in(args) == "bfloat16"
        context = torch.autocast(args.device.type, torch.bfloat16) if halved else nullcontext()
        cards = [args.device] if args.device.type == "cuda" else []
        with torch.random.fork_rng(cards), torch.no_grad(), context:  # some adapters draw numbers in each forward pass
            answers = [answer for batch in _batches(self.turns) for answer in self._answers(model, batch)]
        sharding.put_back(model)
        model.train(training)
        entry: dict[str, Any] = {"step": state.global_step, ANSWERED: answers}
        if self.drawn:
            entry[DRAWN] = self.drawn
        state.log_history.append(entry)
        self._print(state.global_step, answers)

    def _answers(self, model: Any, prompts: list[Ids]) -> list[dict[str, Any]]:
        """The most likely answer to each of `prompts`, and whether it ended by itself."""
        longest = max(map(len, prompts))
        pad = next(iter(token for token in (self.tokenizer.pad_token_id, *self.stops) if token is not None), 0)
        ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])  # (B, T)
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        options = GenerationConfig(
            max_new_tokens=self.settings.tokens, do_sample=False, num_beams=1, temperature=1.0, top_p=1.0, top_k=50,
            repetition_penalty=1.0, use_cache=True, eos_token_id=self.stops or None, pad_token_id=pad,
        )  # fmt: skip
        device = model.get_input_embeddings().weight.device
        rows = model.generate(input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=options)
        return [self._answer(row) for row in rows[:, longest:].tolist()]

    def _answer(self, ids: Ids) -> dict[str, Any]:
        end = next((at for at, token in enumerate(ids) if token in self.stops), None)
        return {"text": self._text(ids[:end]), "ended": end is not None}

    def _text(self, ids: Ids) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _print(self, step: int, answers: list[dict[str, Any]]) -> None:
        if not answers or distributed.rank():
            return
        line = " ".join(answers[0]["text"].split())
        line = line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"
        print(f"{self.what}: step {step} answers: {line or '(nothing)'}", flush=True)


def spread(rows: Any, count: int, longest: float) -> list[tuple[Ids, Ids]]:
    """Prompt and reference of `count` rows or fewer, spread over `rows`; prompts of more than `longest` tokens aside.

    `rows` have input_ids and labels, or prompt_ids and what was chosen or judged.
    """
    turns = []
    for part in range(count):
        start, end = part * len(rows) // count, (part + 1) * len(rows) // count
        looked_at = (turn(rows[at]) for at in range(start, min(end, start + LOOKED)))
        fitting = (each for each in looked_at if each and len(each[0]) <= longest)
        if (chosen := next(fitting, None)) is not None:
            turns.append(chosen)
    return turns


def turn(row: dict[str, Any]) -> tuple[Ids, Ids] | None:
    """Token ids of a prompt and its reference; None for a row without a prompt, or with a bad answer only."""
    if "labels" in row:
        span = last_answer(np.asarray(row["labels"]) != IGNORED)
        return (row["input_ids"][: span[0]], row["input_ids"][slice(*span)]) if span and span[0] else None
    if "chosen_ids" in row:
        return row["prompt_ids"], row["chosen_ids"]
    return (row["prompt_ids"], row["completion_ids"]) if row["label"] else None


def _context(model: Any) -> float:
    """Tokens that `model` reads at one time, less those that an adapter puts before them; infinite where it says none.

    An adapter on prompts says how many by `num_virtual_tokens`.
    """
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    adapters = getattr(model, "peft_config", {}).values()
    return (context or float("inf")) - max(
        (getattr(each, "num_virtual_tokens", 0) or 0 for each in adapters), default=0
    )


def _batches(turns: list[tuple[Ids, Ids]]) -> Iterator[list[Ids]]:
    """All prompts at once, or one by one where they would be much padding."""
    prompts = [prompt for prompt, _ in turns]
    together = len(prompts) * max(map(len, prompts), default=0) <= TOGETHER
    yield from [prompts] if together and prompts else [[prompt] for prompt in prompts]
