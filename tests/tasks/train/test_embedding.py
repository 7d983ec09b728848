"""An embedding model: its loss against numbers worked apart, which documents count as wrong, the same bytes after a
kill, and vectors that sentence-transformers gives, too."""

import csv
import io
import json
import warnings
from collections.abc import Callable
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import InputError
from tasks.core.files import sha256
from tasks.core.paths import Paths
from tasks.merge import stage as merge
from tasks.models.embedder import Embedder
from tasks.models.loading import load_tokenizer
from tasks.template import stage as template
from tasks.template.settings import Embed
from tasks.train import run
from tasks.train.embedding import Collator, EmbeddingTrainer, contrastive_losses
from tasks.train.settings import Settings
from tasks.train.texts import TextRows, mark, text_rows
from tasks.training.rows import load
from tasks.training.tuning_settings import LoRA
from tests.tasks import paired
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings(
    objective="embed", steps=4, batch_size=4, learning_rate=1e-2, warmup_steps=1, threads=1, logging_steps=1,
    checkpoint_steps=2, eval_steps=2, lora=LoRA(r=2, alpha=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def templated(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return paired.project(tmp_path_factory.mktemp("paired"))


def hashes(paths: Paths) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(paths.fitted.iterdir())}


def curve(paths: Paths) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((paths.fitted / "loss.csv").read_text())))


def test_the_loss_is_that_of_the_own_document_among_the_others() -> None:
    # questions along x and y, documents at 45 degrees and along y, a wrong document along x
    vectors = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    known = torch.eye(2, 3, dtype=torch.bool)
    losses = contrastive_losses(vectors, known, 0.5)
    half = sqrt(0.5) / 0.5  # cosine of 45 degrees by the temperature; of the same direction it is 1 / 0.5
    first = -log(exp(half) / (exp(half) + exp(0) + exp(2)))
    second = -log(exp(2) / (exp(half) + exp(2) + exp(0)))
    assert losses.tolist() == pytest.approx([first, second])
    known[0, 2] = True  # some row gives it as an answer to the first question
    spared = -log(exp(half) / (exp(half) + exp(0)))
    assert contrastive_losses(vectors, known, 0.5).tolist() == pytest.approx([spared, second])


def test_no_answer_to_a_question_is_a_wrong_document_of_it_whatever_batch_it_stands_in() -> None:
    answers = {mark([1]): {mark([5]), mark([6])}, mark([2]): {mark([6])}, mark([3]): {mark([7])}}
    table = [
        {"input_ids": [1, 5], "lengths": [1, 1]},
        {"input_ids": [2, 6], "lengths": [1, 1]},  # whose document answers the first question in another row
        {"input_ids": [3, 7, 5, 8], "lengths": [1, 1, 1, 1]},  # which names that of the first as wrong for itself
        {"input_ids": [1, 5], "lengths": [1, 1]},
    ]
    rows = TextRows(table, answers)
    batch = Collator(0)([rows[number] for number in range(4)])
    assert batch["input_ids"].flatten().tolist() == [1, 2, 3, 1, 5, 6, 7, 5, 5, 8]
    assert batch["known"].int().tolist() == [
        [1, 1, 0, 1, 1, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [1, 1, 0, 1, 1, 0],
    ]


def test_texts_of_several_lengths_are_filled_up_on_the_right() -> None:
    rows = TextRows([{"input_ids": [1, 2, 3], "lengths": [1, 2]}], {mark([1]): {mark([2, 3])}})
    batch = Collator(9)([rows[0]])
    assert batch["input_ids"].tolist() == [[1, 9], [2, 3]]
    assert batch["attention_mask"].tolist() == [[1, 0], [1, 1]]


def test_it_ends_in_the_same_bytes_after_a_kill(templated: Paths) -> None:
    run.tune(SMALL, templated)
    first = hashes(templated)
    lines = curve(templated)
    assert all(float(line["loss"]) > 0 for line in lines)
    assert [bool(line["eval_loss"]) for line in lines] == [False, True, False, True]
    facts = json.loads((templated.fitted / "training.json").read_text())
    assert (facts["rows"], facts["wrong_documents"], facts["embedder"]["query"]) == (20, 0, "find: ")
    kill_and_continue(lambda: run.tune(SMALL, templated), 3)
    assert hashes(templated) == first


def test_parts_of_a_batch_give_the_loss_and_the_gradients_of_the_whole(templated: Paths) -> None:
    embedder, coder = Embedder.of(templated.tokenizer), load_tokenizer(templated.tokenizer)
    rows, _ = text_rows(load(templated.tokens("train")), load(templated.tokens("validation")), 4)
    batch = Collator(coder.pad_token_id)([rows[number] for number in (0, 9, 17)])
    results = []
    for chunk in (None, 4):
        model = embedder.load(templated.base / "model")
        trainer = EmbeddingTrainer.__new__(EmbeddingTrainer)
        trainer.embedder, trainer.temperature, trainer.chunk = embedder, 0.05, chunk
        loss = trainer.compute_loss(model, batch, num_items_in_batch=6)  # three of six rows of a step
        loss.backward()
        results.append((loss.item(), model.embed_tokens.weight.grad))
    (loss, gradient), (same, equal) = results
    losses = contrastive_losses(
        embedder.vectors(model, batch["input_ids"], batch["attention_mask"]), batch["known"], 0.05
    )
    assert loss == pytest.approx(losses.sum().item() / 6)
    assert same == pytest.approx(loss)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(equal, gradient)


def test_nothing_to_tell_apart_is_said_before_training(templated: Paths) -> None:
    train, validation = (load(templated.tokens(split)) for split in ("train", "validation"))
    with pytest.raises(InputError, match="a batch has only one row, and no row has a negative"):
        text_rows(train, validation, 1)
    with pytest.raises(InputError, match="a batch has only one document"):
        text_rows(train.select([0, 0]), validation, 2)
    with pytest.raises(InputError, match="the rows are dialogues"):
        text_rows(train.remove_columns("lengths"), validation, 2)


def loaded(folder: Path, queries: list[str], documents: list[str]) -> list[Any]:
    """The vectors that sentence-transformers gives queries and documents, with the model as users load it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(folder), device="cpu")
        return [model.encode_query(queries).tolist(), model.encode_document(documents).tolist()]


@pytest.mark.parametrize(
    ("base", "pooling"),
    [
        (paired.encoder, "cls"),
        pytest.param(paired.encoder, "mean", marks=pytest.mark.long),
        pytest.param(None, "last", marks=pytest.mark.long),
    ],
)
def test_sentence_transformers_gives_the_same_vectors_as_the_evaluation(
    base: Callable[[Path], None] | None, pooling: Any, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra `embeddings` is not installed")
    embed = Embed(query="find: ", document="start - ", pooling=pooling, normalize=pooling != "cls")
    paths = paired.project(tmp_path, template.Settings(embed=embed), base=base)
    run.tune(SMALL.model_copy(update={"steps": 2, "method": "full" if base else "lora"}), paths)
    merge.run(merge.Settings(), paths)
    facts = json.loads((paths.merged / "merge.json").read_text())
    assert facts["max_cosine_distance"] < 1e-6 < facts["effect"]["max_cosine_distance"]
    texts = [["stop web", "show logs of db"], ["docker stop web", "docker start cache", "docker"]]
    answers = loaded(paths.merged, *texts)
    embedder, coder = Embedder.of(paths.merged), load_tokenizer(paths.merged)
    model = embedder.load(paths.merged, dtype=torch.float32)
    for number, vectors in enumerate(answers):
        ids = embedder.ids(coder, texts[number], query=not number)
        for one, other in zip(embedder.embedded(model, ids), vectors, strict=True):
            assert one.tolist() == pytest.approx(other, abs=1e-5)
