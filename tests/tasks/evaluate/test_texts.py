"""Texts of the test split: their perplexity against a computation by transformers alone."""

import math
from pathlib import Path

import pytest
import torch

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.evaluate.settings import Settings
from tasks.evaluate.stage import run
from tests.tasks import tiny

TEXTS = ["docker ps lists the containers that run.", "stop web, then the others: " * 60, "A line.\n\nAnother one, äöü."]


@pytest.fixture
def texts(tmp_path: Path) -> Paths:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = tiny.project(tmp_path, method="none")
    schema = pq.read_schema(paths.rows("test"))
    for split in ("train", "test"):
        rows = [
            dict.fromkeys(schema.names) | {"id": f"{split}{n}", "text": text, "source": "book", "slice": "", "line": n}
            for n, text in enumerate(TEXTS)
        ]
        rows = [{name: value for name, value in row.items() if name in schema.names} for row in rows]
        pq.write_table(pa.Table.from_pylist(rows, schema), paths.rows(split))
    return paths


def by_transformers(paths: Paths, context: int) -> float:
    """Perplexity over all tokens that something stands before, in windows that begin with the last token of another."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(paths.base / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(paths.tokenizer)
    loss, count = 0.0, 0
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = [*ids, tokenizer.eos_token_id]
        for start in range(0, len(ids) - 1, context - 1):
            window = torch.tensor([ids[start : start + context]])
            with torch.no_grad():
                logits = model(window).logits[0, :-1].log_softmax(-1)
            loss -= float(logits.gather(1, window[0, 1:, None]).sum())
            count += window.shape[1] - 1
    return math.exp(loss / count)


@pytest.mark.parametrize("candidate", ["base", "base_few_shot"])
def test_the_perplexity_of_texts_is_that_of_all_their_tokens(texts: Paths, candidate: str) -> None:
    run(Settings.model_validate({"metrics": [{"kind": "perplexity"}]}), texts, candidate)
    scores = tiny.read(texts.evaluation(candidate) / "scores.json")
    context = tiny.read(texts.base / "model" / "config.json")["max_position_embeddings"]
    score = scores["metrics"]["perplexity"]
    assert score["n"] == len(TEXTS)
    assert score["value"] == pytest.approx(by_transformers(texts, context), rel=1e-3)
    assert scores["not_asked"] == scores["too_long"] == 0


def test_texts_cannot_be_asked_for_an_answer(texts: Paths) -> None:
    with pytest.raises(InputError, match=r"for texts set evaluate\.metrics to"):
        run(Settings.model_validate({"metrics": [{"kind": "exact_match"}, {"kind": "perplexity"}]}), texts, "base")
