"""Which questions of a benchmark are asked: of each kind its share, always the same ones, on record."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.evaluate.benchmark_draw import questions, takes_numbers
from tasks.evaluate.settings import Settings
from tasks.report.render import drawn as sentence_of


def task(docs: list[dict[str, Any]], name: str = "t") -> Any:
    return SimpleNamespace(
        eval_docs=docs, config=SimpleNamespace(task=name), doc_to_target=lambda doc: doc.get("gold", doc["text"])
    )


def docs(counts: dict[str, int], column: str) -> list[dict[str, Any]]:
    """Questions that are listed kind by kind."""
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    return [{"text": f"question {at}", column: kind} for at, kind in enumerate(kinds)]


@pytest.mark.parametrize("column", ["category", "subject", "gold"])
def test_each_kind_keeps_its_share(column: str) -> None:
    """Of 60, 30 and 10 a tenth is 6, 3 and 1; the first ten are all of the first kind."""
    rows = docs({"law": 60, "art": 30, "sport": 10}, column)
    asked = questions(task(rows), 10)
    assert Counter(rows[number][column] for number in asked.numbers) == {"law": 6, "art": 3, "sport": 1}
    assert asked.record == {"rows": 10, "of": 100, "by": "answer" if column == "gold" else column}
    assert asked == questions(task(rows), 10), "always the same ones"
    assert asked.numbers == sorted(asked.numbers) != list(range(10))
    assert asked != questions(task(rows, "another"), 10)


def test_questions_without_kinds_are_drawn_by_chance() -> None:
    rows = docs({f"kind {at}": 1 for at in range(40)}, "category")
    asked = questions(task(rows), 10)
    assert asked.record == {"rows": 10, "of": 40, "by": "chance"}
    assert len({*asked.numbers}) == 10
    some: list[dict[str, Any]] = [
        {"text": "x", "category": "a"},
        *({"text": str(at), "category": None} for at in range(9)),
    ]
    assert questions(task(some), 4).record["by"] == "chance", "not all of them say of what kind they are"


@pytest.mark.parametrize("limit", [None, 10, 11])
def test_all_of_them_are_asked(limit: int | None) -> None:
    asked = questions(task(docs({"a": 10}, "category")), limit)
    assert list(asked.numbers) == list(range(10)) and asked.record["by"] == "all"


def test_the_first_ones_where_lm_eval_can_do_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = questions(task(docs({"a": 5, "b": 5}, "category")), 4, drawn=False)
    assert list(asked.numbers) == [0, 1, 2, 3]
    assert takes_numbers(), "the locked version"
    monkeypatch.setattr("lm_eval.evaluator.evaluate", lambda lm, task_dict, limit=None: None)
    assert not takes_numbers()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"rows": 100, "of": 2376, "by": "answer"}, "100 of 2,376, drawn by answer"),
        ({"rows": 100, "of": 2376, "by": "chance"}, "100 of 2,376, drawn at random"),
        ({"rows": 100, "of": 2376, "by": "first"}, "the first 100 of 2,376"),
        ({"rows": 2376, "of": 2376, "by": "all"}, "all 2,376"),
    ],
)
def test_the_report_says_which(record: dict[str, Any], sentence: str) -> None:
    assert sentence_of(record) == sentence


def test_scores_are_by_task_so_a_task_stands_once() -> None:
    with pytest.raises(ValueError, match="lists the task arc_easy twice, but there is one score per task; remove one"):
        Settings.model_validate({"benchmarks": [{"task": "arc_easy"}, {"task": "arc_easy", "shots": 5}]})
