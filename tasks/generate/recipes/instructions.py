"""The recipe `instructions`: new tasks in the manner of seed tasks, made harder, answered.

Self-Instruct (Wang et al. 2022, arXiv:2212.10560) and Evol-Instruct (Xu et al. 2023, arXiv:2304.12244) with
distilabel's prompts. How a task is made harder is drawn from the task itself, so that a new seed task moves no other.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from tasks.core.paths import Paths
from tasks.generate.recipes import Lookup, Outcome, Row
from tasks.generate.recipes.chain import conversation, first_fault, request_keys
from tasks.generate.recipes.seeds import seeds
from tasks.generate.settings import Settings


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """A row for each time the teacher is asked for new tasks: a few seed tasks to look at."""
    known = [seed["instruction"] for seed in seeds(settings, paths, "instruction")]
    how = settings.instructions
    shown: dict[str, int] = {}
    for number, start in enumerate(range(0, settings.rows, how.each)):
        drawn = random.Random(f"{settings.seed}/{number}").sample(known, min(how.examples, len(known)))
        text = "\n".join(drawn)
        shown[text] = shown.get(text, -1) + 1  # the same examples again: another answer to the same request
        asked = min(how.each, settings.rows - start)
        requests = 1 + asked * (how.evolutions + 1)
        yield {"asked": asked, "requests": requests, "input": text, "sample": shown[text]}


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """Invent, one row a task, make harder, answer."""
    from tasks.generate.recipes.inventing import Evolve, Invent, SplitTasks
    from tasks.generate.recipes.steps import Answer

    how = settings.instructions
    steps: list[Any] = [
        Invent(
            name="invent", llm=teacher(), input_batch_size=batch, num_instructions=how.each,
            application_description=how.application,
        ),
        SplitTasks(name="separate", input_batch_size=batch),
        *(Evolve(name=f"evolve_{number}", llm=teacher(), input_batch_size=batch) for number in range(how.evolutions)),
        Answer(name="answers", llm=teacher(), input_batch_size=batch, system_prompt=how.system),
    ]  # fmt: skip
    last = rows
    for step in steps:
        last >> step
        last = step


def outcomes(settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
    """Reasons beside those of `rejection_reason`: `missing` (fewer tasks than asked for)."""
    by_slot = {result["slot"]: result for result in answered}
    return [_outcome(settings, by_slot.get(slot, {}), lookup) for slot in range(row["asked"])]


def _outcome(settings: Settings, result: Row, lookup: Lookup) -> Outcome:
    how = settings.instructions
    question, answer = result.get("instruction", ""), result.get("generation", "")
    evolved = [f"evolve_{number}" for number in range(how.evolutions)]
    reason = first_fault(result, {"invent": ""}, lookup, settings.teacher)
    if reason is None and not result["invented"]:
        reason = "missing"
    reason = reason or first_fault(
        result, {**dict.fromkeys(evolved, ""), "answers": question}, lookup, settings.teacher
    )
    messages = conversation(how.system, question, answer or None)
    prompts = request_keys(result, ["invent", *evolved, "answers"])
    return Outcome({"messages": messages}, reason, question, answer, {"prompts": prompts})
