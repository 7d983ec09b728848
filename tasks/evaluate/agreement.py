"""Whether another engine computes a candidate as transformers does: both are asked some rows before it is trusted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.core.errors import ModelError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.evaluate.engine import Answer, Engine
from tasks.evaluate.engine_choice import EngineChoice
from tasks.evaluate.likelihoods import Scored, references
from tasks.evaluate.questions import Question

Row = dict[str, Any]

SHOWN = 60
"""Characters of an answer that an error shows."""


@dataclass(frozen=True)
class Replies:
    """What one engine makes of the rows that are compared."""

    answers: list[Answer]
    """To the questions that can be asked; [] where no metric looks at answers."""
    likelihoods: list[Scored | None]
    """Of each row's reference."""


def replies(
    engine: Engine,
    rows: list[Row],
    questions: list[Question | None],
    max_new_tokens: int | None,
    report: Callable[[str], Callable[[int], None]],
) -> Replies:
    """Ask `engine` the rows. `max_new_tokens`: of an answer; None: only likelihoods are asked."""
    answers: list[Answer] = []
    if max_new_tokens is not None:
        prompts = [list(question.ids) for question in questions if question]
        answers = engine.answers(prompts, max_new_tokens, report("answers"))
    return Replies(answers, references(rows, questions, engine, report("references")))


def agreement(ours: Replies, theirs: Replies) -> dict[str, Any]:
    """Rows that were compared, the share of `same_answers`, and the mean `difference` in nats per token.

    None where there is nothing to compare: answers that no metric looks at, references that do not fit.
    """
    same = [_what(one) == _what(other) for one, other in zip(ours.answers, theirs.answers, strict=True)]
    differences = [
        abs(one["value"] - other["value"]) / one["tokens"]
        for one, other in zip(ours.likelihoods, theirs.likelihoods, strict=True)
        if one and other and one["tokens"]
    ]
    return {
        "rows": len(ours.likelihoods),
        "same_answers": round(sum(same) / len(same), 4) if same else None,
        "difference": round(sum(differences) / len(differences), 4) if differences else None,
    }


def check(candidate: str, facts: dict[str, Any], choice: EngineChoice, ours: Replies, theirs: Replies) -> None:
    """Raise `ModelError` where answers or likelihoods differ by more than `choice` allows."""
    same, difference, faults = facts["same_answers"], facts["difference"], []
    if same is not None and same < choice.min_same:
        pairs = zip(ours.answers, theirs.answers, strict=True)
        one, other = next((one, other) for one, other in pairs if _what(one) != _what(other))
        faults.append(
            f"min_same = {choice.min_same}, and to one row transformers says {_shown(one)}, vLLM {_shown(other)}"
        )
    if difference is not None and not difference <= choice.max_difference:
        faults.append(f"max_difference = {choice.max_difference}")
    if faults:
        raise ModelError(
            f"{PATHS.params}: evaluate.engine: vLLM does not compute {candidate} as transformers does. "
            f"{sentence(facts)} ({'; '.join(faults)}). Set kind to transformers; "
            "or, if only close decisions differ, relax the limit."
        )


def sentence(facts: dict[str, Any]) -> str:
    """What the comparison says, for a person."""
    parts = []
    if facts["same_answers"] is not None:
        parts.append(f"{facts['same_answers']:.1%} of the answers are the same")
    if facts["difference"] is not None:
        parts.append(f"log-likelihoods differ by {facts['difference']:.4f} nats per token")
    return (
        f"vLLM {facts['version']}, compared with transformers on {counted(facts['rows'], 'rows')}: {', '.join(parts)}"
    )


def _what(answer: Answer) -> tuple[str, str]:
    return answer.text, answer.reasoning


def _shown(answer: Answer) -> str:
    text = answer.text or answer.reasoning
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
