"""The recipe `program`: requests from the grammar, answered by it or by a server; it knows whether they are right."""

from collections.abc import Callable, Iterator
from typing import Any

from tasks.core.paths import Paths
from tasks.dedup.similarity import NEAR_DUPLICATE, jaccard, words
from tasks.generate.program import load, splits
from tasks.generate.quality import rejection_reason
from tasks.generate.recipes import Lookup, Outcome, Row
from tasks.generate.recipes.chain import conversation
from tasks.generate.settings import Settings


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """A row a request: what it asks and expects, its group (train, validation, or a slice of the test).

    A training or validation request that is too like one of the test is marked as `near_test`.
    """
    grammar = load(paths.root / settings.input)
    groups = splits(grammar, settings.rows, settings.validation_rows, settings.test_rows, settings.seed)
    tests = [frozenset(words(request.request)) for name in groups if _held_out(name) for request in groups[name]]
    for name, requests in groups.items():
        for request in requests:
            own = frozenset(words(request.request))
            yield {
                "asked": 1,
                "requests": 1,
                "instruction": request.request,
                "expected": request.command,
                "system_prompt": grammar.system,
                "group": name,
                "intent": request.intent,
                "phrasing": request.phrasing,
                "near_test": not _held_out(name) and any(jaccard(own, test) >= NEAR_DUPLICATE for test in tests),
            }


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """One step that answers."""
    from tasks.generate.recipes.steps import Answer

    rows >> Answer(name="answers", llm=teacher(), input_batch_size=batch)


def outcomes(settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
    """Keep what is right. Reasons beside those of `rejection_reason`: `wrong_answer`, `near_duplicate_of_test`."""
    result = answered[0] if answered else {}
    answer = result.get("generation") or None
    key = result.get("llm_answers_request")
    reason = rejection_reason(lookup(key), settings.teacher.max_new_tokens) if key else None
    reason = reason or _reason(row, answer)
    return [
        Outcome(
            {
                "split": "test" if _held_out(row["group"]) else row["group"],
                "slice": row["group"] if _held_out(row["group"]) else None,
                "messages": conversation(row["system_prompt"], row["instruction"], answer),
                **({"expected": row["expected"]} if reason else {}),
            },
            reason,
            row["instruction"],
            answer or "",
            {"intent": row["intent"], "phrasing": row["phrasing"]},
        )
    ]


def _reason(row: Row, answer: str | None) -> str | None:
    if answer is None or not answer.strip():
        return "no_answer"
    if answer.strip() != row["expected"]:
        return "wrong_answer"
    return "near_duplicate_of_test" if row["near_test"] else None


def _held_out(group: str) -> bool:
    return group.startswith("new_")
