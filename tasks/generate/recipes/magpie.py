"""The recipe `magpie`: given nothing but the opening of a user's turn, a teacher writes the instruction itself.

Xu et al. 2024, arXiv:2406.08464. The opening goes to the server's `/completions`, which applies no template; where a
server has only a chat interface this recipe cannot work.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError, ModelError, TemperError
from tasks.core.paths import Paths
from tasks.generate.recipes import Lookup, Outcome, Row
from tasks.generate.recipes.chain import conversation, first_fault, request_keys
from tasks.generate.settings import Settings

MARK = "@@temper@@"
"""Stands for the user's text when a template is asked what it puts before it."""

OPENINGS = {
    "llama3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
    "qwen2": "<|im_start|>user\n",
}
"""As in distilabel."""


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """As many samples of the one prompt as rows are asked for."""
    configured = settings.magpie.opening
    opening = OPENINGS.get(configured, configured) if configured else _opening(Path(str(settings.teacher.model)))
    stop = {"stop": list(settings.magpie.stop)} if settings.magpie.stop else {}
    for sample in range(settings.rows):
        yield {"asked": 1, "requests": 2, "prompt": json.dumps({"content": opening, "sample": sample, **stop})}


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """Let it ask, then answer."""
    from tasks.generate.recipes.steps import Answer, Prompt

    instructions = Prompt(
        name="instructions", llm=teacher(), input_batch_size=batch, output_mappings={"generation": "instruction"}
    )
    rows >> instructions >> Answer(name="answers", llm=teacher(), input_batch_size=batch)


def outcomes(settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
    """Reasons: those of `rejection_reason`."""
    result = answered[0] if answered else {}
    question, answer = result.get("instruction", "").strip(), result.get("generation", "")
    reason = first_fault(result, {"instructions": "", "answers": question}, lookup, settings.teacher)
    prompts = request_keys(result, ["instructions", "answers"])
    messages = conversation(None, question, answer or None)
    return [Outcome({"messages": messages}, reason, question, answer, {"prompts": prompts})]


def _opening(folder: Path) -> str:
    """What the model's own chat template puts before a user's text."""
    from tasks.models.loading import load_tokenizer

    try:
        tokenizer = load_tokenizer(folder)
        if not isinstance(tokenizer.chat_template, str):
            raise ModelError("it has none, or several")
        before, mark, _ = Renderer(tokenizer).render([{"role": "user", "content": MARK}]).partition(MARK)
    except (TemperError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"generate.teacher.model = {folder}: its chat template cannot be read ({reason}).") from None
    if not mark:
        raise InputError(f"generate.teacher.model = {folder}: its chat template leaves the user's text out.")
    return before
