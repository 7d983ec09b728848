"""The recipe `preferences`: several answers to each prompt, judged twice, the second time in reversed order.

UltraFeedback (Cui et al. 2023, arXiv:2310.01377) with distilabel's prompts. A judge favours what it reads first; the
mean of both orders cancels that, and where the orders disagree about who is better the pair leaves.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tasks.core.paths import Paths
from tasks.generate.quality import rejection_reason
from tasks.generate.recipes import Lookup, Outcome, Row
from tasks.generate.recipes.chain import conversation, request_keys
from tasks.generate.recipes.seeds import seeds
from tasks.generate.settings import Settings

JUDGES = ("judge", "judge_reversed")


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """A row a prompt, the first `generate.rows` of the input."""
    for seed in seeds(settings, paths, "instruction")[: settings.rows]:
        yield {
            "asked": 1,
            "requests": settings.preferences.answers + 2,
            "instruction": seed["instruction"],
            "system_prompt": seed.get("system") or "",
        }


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """Answer, judge, judge again in reversed order."""
    from tasks.generate.recipes.judging import Judge
    from tasks.generate.recipes.steps import Answer

    how = settings.preferences
    answers = Answer(
        name="answers", llm=teacher(), input_batch_size=batch, num_generations=how.answers, group_generations=True,
        output_mappings={"generation": "generations"},
    )  # fmt: skip
    judge, again = (
        Judge(
            name=name, llm=teacher(how.judge), input_batch_size=batch, aspect=how.aspect, reverse=reverse,
            output_mappings={"ratings": f"ratings_{name}"},
        )
        for name, reverse in zip(JUDGES, (False, True), strict=True)
    )  # fmt: skip
    rows >> answers >> judge >> again


def outcomes(settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
    """Reasons beside those of `rejection_reason`: `format` (a judge that rates not every answer), `same_answer`,
    `position_flip`, `tie`."""
    result = answered[0] if answered else {}
    how, question = settings.preferences, row["instruction"]
    texts: list[str] = result.get("generations") or [""] * how.answers
    prompts = result.get("llm_answers_request") or [""] * how.answers
    most = settings.teacher.max_new_tokens
    faults = [rejection_reason(lookup(key), most, question) if key else "no_answer" for key in prompts]
    usable = [index for index, problem in enumerate(faults) if problem is None]
    reason = None if len(usable) > 1 else next(problem for problem in faults if problem)
    if reason is None and any(not text.strip() for text in texts):
        reason = next(problem for problem in faults if problem)
    content: Row = {"prompt": conversation(row["system_prompt"] or None, question, None)}
    provenance: Row = {"prompts": request_keys(result, ["answers", *JUDGES])}
    if reason is None:
        reason, pair, facts = _judged(settings, result, usable, lookup)
        provenance |= facts
        if pair:
            chosen, rejected = (texts[index].strip() for index in pair)
            content |= {name: [{"role": "assistant", "content": text}]
                        for name, text in (("chosen", chosen), ("rejected", rejected))}  # fmt: skip
            content["margin"] = facts["margin"]
            if chosen == rejected:
                reason = "same_answer"
    return [Outcome(content, reason, question, " ".join(texts), provenance)]


def _judged(
    settings: Settings, result: Row, usable: list[int], lookup: Lookup
) -> tuple[str | None, tuple[int, int] | None, Row]:
    """Why the pair leaves, the places of best and worst answer, and the ratings."""
    how = settings.preferences
    judge = how.judge or settings.teacher
    for name in JUDGES:
        if problem := rejection_reason(lookup(result.get(f"llm_{name}_request") or ""), judge.max_new_tokens):
            return problem, None, {}
    first, again = (json.loads(result.get(f"ratings_{name}") or "[]") for name in JUDGES)
    if not len(first) == len(again) == how.answers:
        return "format", None, {}
    mean = [(one + other) / 2 for one, other in zip(first, again, strict=True)]
    best = max(usable, key=lambda index: (mean[index], -index))
    worst = min(usable, key=lambda index: (mean[index], -index))
    margin = mean[best] - mean[worst]
    facts: Row = {"ratings": first, "ratings_reversed": again, "margin": margin}
    flipped = (first[best] - first[worst]) * (again[best] - again[worst]) < 0
    reason = "position_flip" if flipped else "tie" if margin < how.margin or best == worst else None
    return reason, (best, worst) if best != worst else None, facts
