"""An embedding model among the candidates: its scores against numbers worked by hand, its documents, its refusals."""

from math import log2
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tasks.evaluate import stage as evaluate
from tasks.evaluate.ranking import Corpus, ranking_scores
from tasks.evaluate.settings import Metric
from tasks.models.embedder import Embedder
from tests.tasks import paired, tiny

ASKED = evaluate.Settings(metrics=[Metric(kind="retrieval")])


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def row(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"id": question, "messages": [turn("user", question), turn("assistant", answer, **more)]}


@pytest.mark.parametrize(
    ("ranks", "relevant", "expected"),
    [
        ([1], 1, (1.0, 1.0, 1.0, 1.0, 1.0)),
        ([3], 1, (1 / log2(4), 1 / 3, 0.0, 1.0, 1.0)),
        ([11], 1, (0.0, 0.0, 0.0, 0.0, 0.0)),
        ([2, 6], 2, ((1 / log2(3) + 1 / log2(7)) / (1 + 1 / log2(3)), 1 / 2, 0.0, 0.5, 1.0)),
        (list(range(1, 13)), 12, (1.0, 1.0, 1 / 12, 5 / 12, 10 / 12)),
    ],
)
def test_scores_of_a_ranking(ranks: list[int], relevant: int, expected: tuple[float, ...]) -> None:
    assert tuple(ranking_scores(ranks, relevant).values()) == pytest.approx(expected)
    assert tuple(ranking_scores(ranks, relevant)) == Metric(kind="retrieval").scores


def test_documents_stand_once_and_every_row_of_a_question_counts() -> None:
    rows = [row("a", "one", negatives=["wrong"]), row("a", "two"), row("b", "one", positives=["three"])]
    corpus = Corpus.of(rows, Path("test.parquet"))
    assert corpus.documents == ["one", "wrong", "two", "three"]
    assert corpus.right == {"a": {0, 2}, "b": {0, 3}}
    with pytest.raises(InputError, match="the row later is not one question with a text as its answer"):
        Corpus.of([{"id": "later", "messages": [turn("user", "a"), turn("assistant", "b")] * 2}], Path("x"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = paired.project(tmp_path_factory.mktemp("ranking"))
    for candidate in ("base", "base_system"):
        evaluate.run(ASKED, paths, candidate)
    return paths


def test_each_question_is_searched_among_all_documents(asked: Paths) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = asked.base / "model"
    model, coder = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def vector(text: str) -> Any:
        with torch.no_grad():
            return model(**coder(text, return_tensors="pt")).last_hidden_state[0].mean(0)

    rows = pq.read_table(asked.evaluation("base") / "predictions.parquet").to_pylist()
    documents = [line["reference"] for line in rows]
    known = torch.stack([vector(document) for document in documents])
    for place, line in enumerate(rows):
        assert line["prompt"].startswith("find: ")
        near = torch.nn.functional.cosine_similarity(vector(line["prompt"])[None], known)
        rank = int((near > near[place]).sum()) + 1
        assert {name: line[name] for name in Metric(kind="retrieval").scores} == pytest.approx(
            ranking_scores([rank], 1)
        )
        assert line["output"] == documents[int(near.argmax())]
    score = tiny.read(asked.evaluation("base") / "scores.json")["metrics"]["recall_at_5"]
    assert score["value"] == pytest.approx(sum(line["recall_at_5"] for line in rows) / len(rows))
    assert score["low"] < score["value"] < score["high"]


def test_other_ways_to_ask_the_base_are_left_out(asked: Paths) -> None:
    assert [file.name for file in asked.evaluation("base_system").iterdir()] == ["settings.json"]


def test_metrics_of_answers_and_of_vectors_do_not_mix(asked: Paths, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="f1 scores generated text, but base is an embedding model"):
        evaluate.run(evaluate.Settings(metrics=[Metric(kind="f1")]), asked, "base")
    writing = tiny.project(tmp_path, method="none")
    with pytest.raises(SettingsError, match="base is not an embedding model"):
        evaluate.run(ASKED, writing, "base")


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_files_say_what_they_were_told(pooling: str, tmp_path: Path) -> None:
    embedder = Embedder(pooling, pooling != "cls", "query: ", "", 77)
    embedder.save(tmp_path, 8)
    assert Embedder.of(tmp_path) == embedder
