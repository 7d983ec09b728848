"""What people would build without tuning: the nearest rows, passages of documents, the best of some prompts."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate.retrieval import Nearest, nearest_rows
from tasks.evaluate.settings import Settings
from tasks.evaluate.stage import run, validate
from tests.tasks import tiny

QUICK: dict[str, Any] = {"max_new_tokens": 12, "batch_size": 8, "limit": 4, "shots": 2}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    from tasks.merge import stage as merge

    paths = tiny.project(tmp_path_factory.mktemp("baselines"))
    merge.run(merge.Settings(), paths)
    manual = paths.root / "manuals" / "commands.md"
    manual.parent.mkdir()
    manual.write_text("# Logs\n\nShow logs of a container.\n\n# Auth\n\nThe auth container asks for a password.\n")
    return paths


def asked(project: Paths, candidate: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    import pyarrow.parquet as pq

    folder = project.evaluation(candidate)
    rows: list[dict[str, Any]] = pq.read_table(folder / "predictions.parquet").to_pylist()
    return rows, tiny.read(folder / "scores.json")


def test_the_nearest_texts_are_those_of_bm25() -> None:
    """By hand: idf = ln(1 + (N - df + 0.5) / (df + 0.5)), term = tf / (tf + 1.5 (0.25 + 0.75 length / mean))."""
    from math import log

    texts = ["stop the web server", "start the web", "the logs of the queue and of the mail", "remove a volume"]
    words = [text.split() for text in texts]
    mean = sum(map(len, words)) / len(words)

    def score(query: str, document: list[str]) -> float:
        total = 0.0
        for word in query.split():
            holders = sum(word in other for other in words)
            count = document.count(word)
            weight = count / (count + 1.5 * (0.25 + 0.75 * len(document) / mean))
            total += log(1 + (len(words) - holders + 0.5) / (holders + 0.5)) * weight
        return total

    for query in ("stop the queue", "the web", "start a volume", "nothing known", ""):
        by_hand = sorted(range(4), key=lambda at: (-round(score(query, words[at]), 4), at))
        assert Nearest(texts).to(query, 4) == by_hand, query
    assert Nearest(texts).to("Web, the WEB!", 1) == [1]
    assert Nearest([]).to("web", 3) == []
    assert Nearest(["...", "!"]).to("web", 1) == [0]


def test_a_row_that_asks_the_same_is_never_an_example() -> None:
    def row(name: str, text: str) -> dict[str, Any]:
        return {"id": name, "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": name}]}

    train = [row("a", "Stop  WEB"), row("b", "stop web now"), row("c", "show logs")]
    ((first, second),) = nearest_rows(train, [row("x", "stop web")], 2)
    assert (first["id"], second["id"]) == ("b", "c")
    every = nearest_rows(list(reversed(train)), [row("x", "stop web"), row("y", "stop web now")], 2)
    assert [[one["id"] for one in rows] for rows in every] == [["c"], ["c"]]


@pytest.mark.parametrize("model", ["base", "merged"])
def test_retrieved_rows_come_from_training_and_stand_nearest_last(project: Paths, model: str) -> None:
    run(Settings(retrieved=["base", "merged"], **QUICK), project, f"{model}_retrieved")
    rows, scores = asked(project, f"{model}_retrieved")
    test = {chat[0]["content"] for chat in tiny.conversations()[24:]}
    train = [chat[0]["content"] for chat in tiny.conversations()[:20]]
    for row in rows:
        first, second, question = [part.split("<|im_end|>")[0] for part in row["prompt"].split("user\n")[1:]]
        assert {first, second} <= set(train) and question in test
        nearest = [name for name in train if name.endswith(f" {question.split()[-1]}")]
        assert second == min(nearest, key=train.index), "the same name; of several the first id"
    assert scores["shots"] == {"2": 4}
    assert scores["kind"] == ("free" if model == "base" else "other")
    assert scores["cost"]["prompt_tokens"] > 40


def test_passages_stand_in_the_system_prompt(project: Paths) -> None:
    settings = Settings(documents={"base_documents": "manuals"}, **QUICK)
    validate(settings, project)
    run(settings, project, "base_documents")
    rows, scores = asked(project, "base_documents")
    assert all("Answer by these passages:\n\n" in row["prompt"] for row in rows)
    assert all("Show logs of a container." in row["prompt"] for row in rows if "show logs of" in row["prompt"])
    assert (scores["kind"], scores["shown"]) == ("free", "passages")
    assert sum(scores["shots"].values()) == 4


def test_documents_that_are_not_there_are_refused_before_a_run(project: Paths) -> None:
    (project.root / "empty").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"evaluate.documents.manuals = empty: no document in it; known kinds"):
        validate(Settings(documents={"manuals": "empty"}), project)


def test_the_best_prompt_is_chosen_on_the_validation_split(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are made up: under one prompt they are right on validation rows, under the other on the test."""
    from tasks.evaluate.engine import Answer, Engine

    split = {chat[0]["content"]: chat[-1]["content"] for chat in tiny.conversations()[20:24]}
    test = {chat[0]["content"]: chat[-1]["content"] for chat in tiny.conversations()[24:]}

    def answers(self: Engine, prompts: list[list[int]], *_: Any) -> list[Answer]:
        texts = [self.tokenizer.decode(ids) for ids in prompts]
        return [Answer(known.get(text.split("user\n")[1].split("<|im_end|>")[0], "-"), 3, "stop")
                for text in texts
                for known in [split if "good on validation" in text else test]]  # fmt: skip

    monkeypatch.setattr(Engine, "answers", answers)
    prompts = ["good on the test", "good on validation", "good on validation, too"]
    run(Settings(prompts={"base_best_prompt": prompts}, **QUICK), project, "base_best_prompt")
    rows, scores = asked(project, "base_best_prompt")
    assert [(one["value"], one["chosen"]) for one in scores["prompts"]] == [(0.0, False), (1.0, True), (1.0, False)]
    assert all("system\ngood on validation<|im_end|>" in row["prompt"] for row in rows)
    assert scores["metrics"]["exact_match"]["value"] == 0.0, "what the test would have chosen is not asked of it"


def test_without_validation_rows_no_prompt_is_chosen(project: Paths, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from tasks.evaluate.best_prompt import _validation

    paths = Paths(tmp_path)
    paths.clean.mkdir(parents=True)
    pq.write_table(tiny.rows("validation", []), paths.rows("validation"))
    with pytest.raises(InputError, match=r"raise clean.validation_share, or remove .* from evaluate.prompts"):
        _validation("base_best_prompt", paths)


@pytest.mark.parametrize(
    "settings",
    [
        {"retrieved": ["base", "base"]},
        {"retrieved": ["nf4"]},
        {"documents": {"base": "manuals"}},
        {"documents": {"one": "manuals"}, "prompts": {"one": ["a"]}},
        {"prompts": {"one": []}},
        {"prompts": {"merged_retrieved": ["a"]}},
    ],
)
def test_settings_that_name_no_candidate_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Settings.model_validate(settings)
