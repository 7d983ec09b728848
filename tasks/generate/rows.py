"""From instructions to verified rows: what to ask, what was answered, and why a row leaves."""

import json
from pathlib import Path
from typing import Any

from tasks.contract.files import write_json, written
from tasks.contract.ledger import Ledger
from tasks.contract.likeness import NEAR_DUPLICATE, jaccard, words
from tasks.contract.paths import Paths
from tasks.contract.progress import reporter
from tasks.contract.rows import row_id
from tasks.generate import Settings
from tasks.generate.program import Grammar, Request, load, splits

SOURCE = "generate"


def generate(settings: Settings, paths: Paths) -> None:
    """Draw the instructions, let the teacher answer, verify, and write `data/generated` as one folder.

    Raises `InputError` for a faulty seed, `MachineError` where the pipeline fails, and `LossError` beyond
    `generate.max_loss`.
    """
    from tasks.generate.child import answers

    ledger = Ledger()
    rows: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    facts: dict[str, Any] = {"recipe": settings.recipe}
    if settings.recipe == "program":
        seed = paths.data / "seed"
        grammar = load(seed)
        asked = [
            (request, name)
            for name, requests in splits(
                grammar, settings.rows, settings.validation_rows, settings.test_rows, settings.seed
            ).items()
            for request in requests
        ]
        report = reporter("generate", len(asked), "rows")
        report(0)
        answered = answers(settings, seed, grammar.system, [request.request for request, _ in asked], paths)
        rows, left = verify(asked, answered, grammar, settings, ledger)
        report(len(asked))
        facts |= {"assistant": grammar.name, "teacher": settings.teacher.kind, "near_duplicate": NEAR_DUPLICATE}
    ledger.check("generate", settings.max_loss, "generate.max_loss")
    with written(paths.generated) as aside:
        aside.mkdir()
        _write_lines(aside / "rows.jsonl", rows)
        _write_lines(aside / "left_out.jsonl", left)
        ledger.write(aside / "ledger.json", **facts)
        write_json(aside / "settings.json", settings.model_dump(mode="json"))
    print(f"generate: {len(rows)} rows of {ledger.came} asked for: {dict(ledger.outs)}, left {dict(ledger.left)}")


def verify(
    asked: list[tuple[Request, str]],
    answered: list[str | None],
    grammar: Grammar,
    settings: Settings,
    ledger: Ledger,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Keep what is right: the grammar knows every instruction's command. Return the rows, and those that left.

    `asked` holds a request and its group (train, validation, new_combination, new_phrasing). Reasons for leaving:
    `no_answer`, `wrong_answer`, and `near_duplicate_of_test` for a training or validation row.
    """
    tests = [frozenset(words(request.request)) for request, group in asked if group.startswith("new_")]
    rows, left = [], []
    for (request, group), answer in zip(asked, answered, strict=True):
        ledger.came += 1
        row = _row(request, group, answer, grammar, settings)
        if reason := _reason(request, group, answer, tests):
            ledger.left[reason] += 1
            left.append({"reason": reason, "expected": request.command, **row})
        else:
            ledger.outs[row["split"]] += 1
            rows.append(row)
    return rows, left


def _reason(request: Request, group: str, answer: str | None, tests: list[frozenset[str]]) -> str | None:
    if answer is None or not answer.strip():
        return "no_answer"
    if answer.strip() != request.command:
        return "wrong_answer"
    if not group.startswith("new_"):
        own = frozenset(words(request.request))
        if any(jaccard(own, test) >= NEAR_DUPLICATE for test in tests):
            return "near_duplicate_of_test"
    return None


def _row(request: Request, group: str, answer: str | None, grammar: Grammar, settings: Settings) -> dict[str, Any]:
    messages = [{"role": "user", "content": request.request}]
    if grammar.system:
        messages.insert(0, {"role": "system", "content": grammar.system})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer.strip()})
    held_out = group.startswith("new_")
    teacher = settings.teacher
    return {
        "id": row_id(SOURCE, messages),
        "source": SOURCE,
        "split": "test" if held_out else group,
        "slice": group if held_out else None,
        "messages": messages,
        "provenance": {
            "recipe": settings.recipe,
            "teacher": teacher.kind if teacher.kind == "program" else f"{teacher.kind}:{teacher.model}",
            "intent": request.intent,
            "phrasing": request.phrasing,
        },
    }


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
