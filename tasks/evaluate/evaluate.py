"""One candidate on the held-out rows: ask, answer, score, write."""

from typing import Any

import torch

from tasks.contract.errors import InputError
from tasks.contract.files import write_json, written
from tasks.contract.paths import Paths
from tasks.contract.progress import reporter
from tasks.evaluate import Settings, candidates
from tasks.evaluate.answers import answer
from tasks.evaluate.questions import Question, answer_room, ask, rows, shots, shots_used
from tasks.evaluate.scores import scores
from tasks.template.renderer import Renderer

CONTEXT = 2048
"""Tokens; assumed for a model whose configuration names no longest sequence."""


def evaluate(settings: Settings, paths: Paths, candidate: str) -> None:
    """Write `data/evaluation/CANDIDATE`. A row that does not fit into the context is counted, as a wrong answer."""
    from transformers import AutoTokenizer

    torch.set_num_threads(settings.threads)
    candidates.check(candidate, paths)
    asked = rows(paths.clean / "test.parquet", settings.limit)
    earlier: list[dict[str, Any]] = []
    if candidate == "base_few_shot":
        earlier = shots(rows(paths.clean / "train.parquet"), settings.shots)
    tokenizer = AutoTokenizer.from_pretrained(paths.templated / "tokenizer", trust_remote_code=False)
    model = candidates.load(candidate, paths, tokenizer)
    context = int(getattr(model.config, "max_position_embeddings", CONTEXT))
    max_new_tokens = settings.max_new_tokens or answer_room(asked, tokenizer, context)
    renderer = Renderer(tokenizer)
    questions = [ask(row, earlier, renderer, tokenizer, context - max_new_tokens) for row in asked]
    fitting = [question for question in questions if question]
    if not fitting:
        raise InputError(
            f"{paths.clean / 'test.parquet'}: none of {len(asked)} rows fits into the model's context of {context} "
            f"tokens with {max_new_tokens} for the answer; lower evaluate.max_new_tokens, or shorten the rows."
        )
    given = iter(
        answer(
            fitting,
            model,
            tokenizer,
            context=context,
            max_new_tokens=max_new_tokens,
            batch_size=settings.batch_size,
            report=reporter(f"evaluate {candidate}", len(fitting), "rows"),
        )
    )
    answers = [next(given) if question else ("", False) for question in questions]
    facts = {
        "candidate": candidate,
        **scores([(row["slice"], right) for row, (_, right) in zip(asked, answers, strict=True)]),
        "interval": "95 % Wilson score",
        "max_new_tokens": max_new_tokens,
        "too_long": len(asked) - len(fitting),
    }
    if earlier:
        facts["shots"] = shots_used(fitting)
    with written(paths.evaluation(candidate)) as out:
        out.mkdir()
        write_json(out / "scores.json", facts)
        _write_predictions(out / "predictions.parquet", asked, questions, answers)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    match = facts["exact_match"]
    print(
        f"evaluate {candidate}: exact match {match['value']:.3f} ({match['low']:.3f} to {match['high']:.3f})",
        flush=True,
    )


def _write_predictions(
    file: Any, asked: list[dict[str, Any]], questions: list[Question | None], answers: list[tuple[str, bool]]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array([row["id"] for row in asked], pa.string()),
        "slice": pa.array([row["slice"] for row in asked], pa.string()),
        "prompt": pa.array([question.prompt if question else None for question in questions], pa.string()),
        "reference": pa.array([row["messages"][-1]["content"] for row in asked], pa.string()),
        "output": pa.array([output for output, _ in answers], pa.string()),
        "exact_match": pa.array([right for _, right in answers], pa.bool_()),
    }
    pq.write_table(pa.table(columns), file)
