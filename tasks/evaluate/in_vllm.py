"""A candidate that moves from transformers into vLLM, once both agree on some of its rows."""

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.evaluate import agreement
from tasks.evaluate.by_vllm import ROWS, ByVllm
from tasks.evaluate.engine import Engine
from tasks.evaluate.engine_choice import EngineChoice
from tasks.evaluate.prompting import build_questions, generates
from tasks.evaluate.questions import drawn_rows
from tasks.evaluate.settings import Settings

SPARE = 2
"""Tokens that vLLM must have room for and nobody asks for: it takes the last token of a text as a prompt too, and makes
one more."""


def room_of_vllm(choice: EngineChoice, context: int) -> int:
    """Tokens that a prompt and what follows it may have, in a model of so many."""
    return min(context, choice.max_length or context) - SPARE


def in_vllm(
    engine: Engine,
    model: Any,
    held_out: list[dict[str, Any]],
    candidate: str,
    settings: Settings,
    paths: Paths,
    folders: list[Path],
    max_new_tokens: int,
    room: int,
) -> tuple[Engine, dict[str, Any]]:
    """The engine with vLLM in the place of `model`, whose weights leave memory, and what is on record of it.

    Raises `ModelError` where vLLM does not load the model, or answers in another way.
    """
    rows, _ = drawn_rows(held_out, settings.engine.compared)
    first_prompt = next(iter(settings.prompts.get(candidate, ())), None)
    questions = build_questions(rows, candidate, settings, paths, engine.tokenizer, room, first_prompt)
    longest = max_new_tokens if generates(settings.metrics) else None
    asked = partial(agreement.replies, rows=rows, questions=questions, max_new_tokens=longest)
    ours = asked(engine, report=_reporter(candidate, "transformers", len(rows)))
    dtype = str(model.dtype).removeprefix("torch.")
    model.to("meta")  # whoever still holds it
    gc.collect()
    torch.cuda.empty_cache()
    by_vllm = ByVllm(
        folders,
        settings.engine,
        engine.tokenizer,
        dtype=dtype,
        length=engine.context + SPARE,
        stop_ids=engine.stop_ids,
        reader=engine.reader,
    )
    engine = engine.by(by_vllm, rows=ROWS)
    theirs = asked(engine, report=_reporter(candidate, "vLLM", len(rows)))
    facts = {"kind": by_vllm.name, "version": by_vllm.version, **agreement.agreement(ours, theirs)}
    agreement.check(candidate, facts, settings.engine, ours, theirs)
    print(f"evaluate {candidate}: {agreement.sentence(facts)}", flush=True)
    return engine, facts


def _reporter(candidate: str, by: str, rows: int) -> Callable[[str], Callable[[int], None]]:
    return lambda what: reporter(f"evaluate {candidate}, {what} by {by}", rows, "rows")
