"""Quantising an embedding model: what is measured against vectors computed apart, what is refused, and folders that
sentence-transformers loads."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.core.errors import CheckFailed, MachineError, ModelError
from tasks.core.paths import Paths
from tasks.evaluate import stage as evaluate
from tasks.evaluate.settings import Metric
from tasks.merge import stage as merge
from tasks.models.embedder import MODULES, Embedder
from tasks.models.loading import load_tokenizer
from tasks.models.vectors import spread
from tasks.quantize.schemes import SCHEMES
from tasks.quantize.settings import Settings
from tasks.quantize.stage import run
from tasks.train import run as train
from tasks.train.settings import Settings as Training
from tests.tasks import paired, tiny
from tests.tasks.tiny import contents


def encoder(folder: Path) -> None:
    """As wide as the blocks whose weights share a scale in 4 bits."""
    paired.encoder(folder, hidden_size=64, intermediate_size=128)


TEXTS = ["find: stop web", "docker stop web", "docker start cache"]


def merged(root: Path, base: Callable[[Path], None] | None = encoder) -> Paths:
    """A project whose merged model is the random base: what quantising does is measured, and not what merging does."""
    paths = paired.project(root, base=base)
    embedder = Embedder.of(paths.tokenizer)
    model = embedder.load(paths.base / "model")
    model.save_pretrained(paths.merged)
    load_tokenizer(paths.tokenizer).save_pretrained(paths.merged)
    embedder.save(paths.merged, model.config.hidden_size)
    return paths


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = merged(tmp_path_factory.mktemp("vectors"))
    run(Settings(limits={"nf4": 1.0}), paths, "nf4")
    return paths


def by_transformers(folder: Path, rows: list[list[int]]) -> torch.Tensor:
    """Vectors (N, D) by transformers alone: the mean over tokens, of length 1."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        vectors = [model(input_ids=torch.tensor([row])).last_hidden_state[0].double().mean(0) for row in rows]
    return torch.stack([vector / vector.norm() for vector in vectors])


def test_what_is_measured_is_how_far_vectors_move_and_how_far_texts_lie_apart(project: Paths) -> None:
    """Of the validation split's texts, question and document of each row; its 4 rows have 8."""
    with pa.memory_map(str(project.tokens("validation"))) as source, pa.ipc.open_stream(source) as stream:
        table = stream.read_all().to_pylist()
    rows = []
    for row in table:
        end = row["lengths"][0]
        rows += [row["input_ids"][:end], row["input_ids"][end : end + row["lengths"][1]]]
    one, other = (by_transformers(folder, rows) for folder in (project.merged, project.quantized("nf4")))
    moved = [1 - float(first @ second) for first, second in zip(one, other, strict=True)]
    between = [1 - float(one[i] @ one[j]) for i in range(len(one)) for j in range(i)]
    facts = tiny.read(project.quantized("nf4") / "quantization.json")
    assert facts["probes"] == len(rows) == 8
    assert facts["mean_cosine_distance"] == pytest.approx(sum(moved) / len(moved), rel=0.01)
    assert facts["max_cosine_distance"] == pytest.approx(max(moved), rel=0.01)
    assert facts["between_texts"] == pytest.approx(sum(between) / len(between), rel=0.01)
    assert 0 < facts["mean_cosine_distance"] < facts["max_cosine_distance"] < facts["between_texts"]
    assert facts["low_bits"] > 0.8
    assert facts["ratio"] < 0.7


def test_every_layer_but_the_unused_pooler_is_quantised(project: Paths) -> None:
    embedder = Embedder.of(project.quantized("nf4"))
    model = embedder.load(project.quantized("nf4"))
    kinds = {name: type(layer).__name__ for name, layer in model.named_modules() if hasattr(layer, "in_features")}
    assert {name for name, kind in kinds.items() if kind != "Linear4bit"} == {"pooler.dense"}
    assert embedder == Embedder.of(project.merged)


def test_a_copy_whose_vectors_move_too_far_is_refused_and_leaves_nothing(project: Paths) -> None:
    with pytest.raises(
        CheckFailed, match=r"% of the [\d.]+ between two texts, more than the 0\.0% that quantize\.limits allows int8"
    ):
        run(Settings(limits={"int8": 1e-6}), project, "int8")
    assert not project.quantized("int8").exists()


def test_a_number_that_attention_hides_is_refused(project: Paths, tmp_path: Path) -> None:
    """On a processor attention gives numbers for a query that is NaN."""
    shutil.copytree(project.merged, tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["encoder.layer.0.attention.self.query.weight"][0, 0] = torch.nan
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"layer\.0\.attention\.self\.query\.weight contains NaN"):
        Embedder.of(tmp_path).load(tmp_path)


def test_vectors_in_other_directions_are_as_far_apart_as_texts() -> None:
    assert spread([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), torch.tensor([-3.0, 0.0])]) == pytest.approx(
        4 / 3
    )
    assert spread([torch.tensor([1.0, 0.0])]) == 0


LOAD = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
texts = json.loads(sys.argv[2])
print(json.dumps([model.encode_query(texts[:1])[0].tolist(), *model.encode_document(texts[1:]).tolist()]))
"""


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["nf4", "fp4", "int8", "torchao-int8", "torchao-float8"])
@pytest.mark.parametrize("base", [encoder, None], ids=["encoder", "decoder"])
def test_sentence_transformers_alone_loads_what_was_quantised_and_ranks_as_the_evaluation(
    base: Callable[[Path], None] | None, scheme: str, tmp_path: Path
) -> None:
    """From training to use, in a process that has nothing of temper's."""
    pytest.importorskip("sentence_transformers", reason="the extra `embeddings` is not installed")
    try:
        SCHEMES[scheme].check(scheme)
    except MachineError as error:
        pytest.skip(str(error))
    paths = paired.project(tmp_path, base=base)
    settings = {"objective": "embed", "steps": 2, "batch_size": 4, "threads": 1, "warmup_steps": 0, "method": "full"}
    train.tune(Training.model_validate(settings), paths)
    merge.run(merge.Settings(), paths)
    run(Settings(schemes=[scheme], limits={scheme: 1.0}), paths, scheme)
    before = contents(paths.quantized(scheme))
    run(Settings(schemes=[scheme], limits={scheme: 1.0}), paths, scheme)
    assert contents(paths.quantized(scheme)) == before, "the same bytes twice"
    folder = paths.quantized(scheme)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, folder, json.dumps([TEXTS[0].removeprefix("find: "), *TEXTS[1:]])],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={"HF_HUB_OFFLINE": "1", "PATH": ""},
    )  # fmt: skip
    coder = load_tokenizer(folder)
    expected = by_transformers(folder, coder(TEXTS)["input_ids"])
    assert (folder / MODULES).is_file()
    assert torch.allclose(torch.tensor(json.loads(done.stdout.splitlines()[-1])).double(), expected, atol=1e-4)
    for candidate in ("merged", scheme):
        evaluate.run(evaluate.Settings(metrics=[Metric(kind="retrieval")]), paths, candidate)
    scores = [tiny.read(paths.evaluation(one) / "scores.json")["metrics"]["ndcg_at_10"] for one in ("merged", scheme)]
    assert [score["n"] for score in scores] == [8, 8]
    assert abs(scores[0]["value"] - scores[1]["value"]) < 0.3
