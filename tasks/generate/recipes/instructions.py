"""The recipe `instructions`: new tasks in the manner of seed tasks, made harder, answered.

Self-Instruct (Wang et al. 2022, arXiv:2212.10560) and Evol-Instruct (Xu et al. 2023, arXiv:2304.12244) with
distilabel's prompts. How a task is made harder is drawn from the task itself, so that a new seed task moves no other.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from tasks.core.paths import Paths
from tasks.generate.recipes import Outcome, Row, Said
from tasks.generate.recipes.chain import conversation, first_fault, keys
from tasks.generate.recipes.seeds import seeds
from tasks.generate.settings import Settings


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """A row for each time the teacher is asked for new tasks: a few seed tasks to look at."""
    known = [seed["instruction"] for seed in seeds(settings, paths, "instruction")]
    how = settings.instructions
    shown: dict[str, int] = {}
    for place, start in enumerate(range(0, settings.rows, how.each)):
        drawn = random.Random(f"{settings.seed}/{place}").sample(known, min(how.examples, len(known)))
        text = "\n".join(drawn)
        shown[text] = shown.get(text, -1) + 1  # the same examples again: another answer to the same request
        asked = min(how.each, settings.rows - start)
        requests = 1 + asked * (how.evolutions + 1)
        yield {"asked": asked, "requests": requests, "input": text, "sample": shown[text]}


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """Invent, one row a task, make harder, answer."""
    from tasks.generate.recipes.inventing import Evolve, Invent, Separate
    from tasks.generate.recipes.steps import Answer

    how = settings.instructions
    steps: list[Any] = [
        Invent(
            name="invent", llm=teacher(), input_batch_size=batch, num_instructions=how.each,
            application_description=how.application,
        ),
        Separate(name="separate", input_batch_size=batch),
        *(Evolve(name=f"evolve_{number}", llm=teacher(), input_batch_size=batch) for number in range(how.evolutions)),
        Answer(name="answers", llm=teacher(), input_batch_size=batch, system_prompt=how.system),
    ]  # fmt: skip
    last = rows
    for step in steps:
        last >> step
        last = step


def outcomes(settings: Settings, row: Row, answered: list[Row], said: Said) -> list[Outcome]:
    """Reasons beside those of `quality.fault`: `missing` (fewer tasks than asked for)."""
    found = {made["slot"]: made for made in answered}
    return [_outcome(settings, found.get(slot, {}), said) for slot in range(row["asked"])]


def _outcome(settings: Settings, made: Row, said: Said) -> Outcome:
    how = settings.instructions
    asked, answer = made.get("instruction", ""), made.get("generation", "")
    evolved = [f"evolve_{number}" for number in range(how.evolutions)]
    reason = first_fault(made, {"invent": ""}, said, settings.teacher)
    if reason is None and not made["invented"]:
        reason = "missing"
    reason = reason or first_fault(made, {**dict.fromkeys(evolved, ""), "answers": asked}, said, settings.teacher)
    messages = conversation(how.system, asked, answer or None)
    prompts = keys(made, ["invent", *evolved, "answers"])
    return Outcome({"messages": messages}, reason, asked, answer, {"prompts": prompts})
