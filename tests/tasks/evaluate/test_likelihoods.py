"""How likely given texts are: every row counts that fits, whatever way a model computes it."""

from pathlib import Path
from typing import Any

import pytest

from tasks.evaluate.settings import Metric, Settings
from tasks.evaluate.stage import run
from tests.tasks import tiny

torch = pytest.importorskip("torch")


def tiny_model(folder: Path) -> Any:
    from tasks.models.loading import load_model

    return load_model(tiny.model(folder / "model", vocabulary=len(tiny.tokenizer())))


def engine(folder: Path, model: Any = None) -> Any:
    """An engine for the tiny base, or for `model`."""
    from tasks.evaluate.answer_store import AnswerStore
    from tasks.evaluate.engine import Engine

    coder = tiny.tokenizer()
    model = model or tiny_model(folder)
    store = AnswerStore(folder / "answers", "0" * 32)
    return Engine(model, coder, context=256, batch_size=4, batch_tokens=4096, store=store)


def test_perplexity_counts_rows_without_room_for_an_answer_and_names_those_it_cannot(tmp_path: Path) -> None:
    """Of a context of 256 tokens an answer may take 64: a prompt of 200 is too long to be answered, not to be read."""
    import pyarrow.parquet as pq

    paths = tiny.project(tmp_path, method="none")
    chats = [
        [{"role": "user", "content": "é" * letters}, {"role": "assistant", "content": "docker ps"}]
        for letters in (10, 100, 140)  # of two tokens each
    ]
    pq.write_table(tiny.rows("test", chats), paths.clean / "test.parquet")
    metrics = [Metric(kind="exact_match"), Metric(kind="perplexity")]
    run(Settings(metrics=metrics, max_new_tokens=64), paths, "base")
    scores = tiny.read(paths.evaluation("base") / "scores.json")
    assert scores["too_long"] == 2 and scores["metrics"]["exact_match"]["n"] == 3
    assert scores["metrics"]["perplexity"]["n"] == 2
    assert scores["left_out"] == {"perplexity": {"rows": 1, "ids": ["test00000000002"]}}


def test_texts_that_share_a_prompt_are_as_likely_as_alone(tmp_path: Path) -> None:
    """More texts than a batch holds, prompts of a single token among them."""
    prompts = [[5, 6, 7, 8], [9, 10], [11]]
    texts = [[[at + 20, *range(30, 30 + at % 5)] for at in range(21)], [[at + 40] for at in range(9)], [[1], [2, 3]]]
    model = tiny_model(tmp_path)
    asked = engine(tmp_path, model)
    with torch.no_grad():
        for prompt, values, choices in zip(
            prompts, asked.options(prompts, texts, lambda done: None), texts, strict=True
        ):
            for text, value in zip(choices, values, strict=True):
                logs = model(torch.tensor([[*prompt, *text]])).logits[0].log_softmax(1)
                alone = sum(float(logs[len(prompt) - 1 + at, token]) for at, token in enumerate(text))
                assert value == pytest.approx(alone, abs=1e-4)


def test_texts_share_a_prompt_where_attention_slides(tmp_path: Path) -> None:
    """Beyond its window a layer forgets; five texts after a prompt of twenty tokens see eight."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8, initializer_range=0.3, attn_implementation="eager",
    )  # fmt: skip
    model = MistralForCausalLM(config).eval()
    prompt, texts = list(range(20, 40)), [[at, *range(50, 50 + at % 4)] for at in range(9)]
    (values,) = engine(tmp_path, model).options([prompt], [texts], lambda done: None)
    for text, value in zip(texts, values, strict=True):
        with torch.no_grad():
            logs = model(torch.tensor([[*prompt, *text]])).logits[0].log_softmax(1)
        assert value == pytest.approx(sum(float(logs[19 + at, token]) for at, token in enumerate(text)), abs=1e-4)
