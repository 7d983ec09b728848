"""Quantising: each scheme loads back, stays near the merged model, and is the same bytes every time."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.core.errors import CheckFailed, MachineError, SettingsError
from tasks.core.paths import Paths
from tasks.models.loading import gguf_file, load_model
from tasks.quantize.schemes import SCHEMES
from tasks.quantize.settings import Settings
from tasks.quantize.stage import run
from tests.tasks import tiny
from tests.tasks.tiny import contents

pytest.importorskip("torch")

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A project whose merged model is the random base: what quantising does is measured, not what merging does."""
    paths = tiny.project(tmp_path_factory.mktemp("quantize"), method="none")
    tokenizer = tiny.tokenizer()
    tiny.model(paths.merged, vocabulary=len(tokenizer), initializer_range=0.05)
    tokenizer.save_pretrained(paths.merged)
    return paths


APART = {
    "nf4": 0.2, "fp4": 0.3, "int8": 0.05, "gguf-f32": 1e-5, "gguf-f16": 1e-3, "gguf-bf16": 0.01, "gguf-q8_0": 0.02,
    "gguf-q5_1": 0.1, "gguf-q5_0": 0.1, "gguf-q4_1": 0.2, "gguf-q4_0": 0.2, "gguf-q6_k": 0.03, "gguf-q4_k_m": 0.2,
    "gguf-q2_k": 0.4, "torchao-int8": 0.05, "torchao-float8": 0.15, "gptq-w8a8": 0.1, "fp8": 0.2,
}  # fmt: skip
"""Schemes, and how far each may move the logits of a random model at most (norm of the difference to norm)."""

WHOLE = {"gguf-f32", "gguf-f16", "gguf-bf16"}

FEW = {"nf4", "int8", "gguf-f16", "gguf-q8_0", "gguf-q4_k_m", "torchao-int8", "gptq-w8a8", "fp8"}
"""One for each way of writing; within it the schemes differ in the arithmetic of a library."""


@pytest.fixture(
    scope="module",
    params=[scheme if scheme in FEW else pytest.param(scheme, marks=pytest.mark.long) for scheme in APART],
)
def quantized(request: pytest.FixtureRequest, merged: Paths) -> tuple[str, Paths]:
    try:
        SCHEMES[request.param].check(request.param)
    except MachineError as error:
        pytest.skip(str(error))
    run(Settings(calibration=8), merged, request.param)
    return request.param, merged


def reload(folder: Path) -> Any:
    """The model in `folder`: a GGUF file as llama.cpp runs it."""
    from tasks.models.gguf.model import LlamaCpp

    file = gguf_file(folder)
    return LlamaCpp(file) if file else load_model(folder)


def test_loads_back_near_the_merged_model(quantized: tuple[str, Paths]) -> None:
    import torch

    scheme, paths = quantized
    ids = torch.arange(3, 60).unsqueeze(0)
    with torch.no_grad():
        expected = load_model(paths.merged)(ids).logits
        reloaded = reload(paths.quantized(scheme))(ids).logits.float()
    apart = ((expected - reloaded).norm() / expected.norm()).item()
    assert apart < APART[scheme]
    assert apart > 0 or scheme == "gguf-f32"


def test_facts(quantized: tuple[str, Paths]) -> None:
    scheme, paths = quantized
    facts = tiny.read(paths.quantized(scheme) / "quantization.json")
    assert facts["scheme"] == scheme
    assert facts["bytes"] == sum(
        file.stat().st_size for file in paths.quantized(scheme).iterdir() if file.suffix in {".gguf", ".safetensors"}
    )
    assert facts["ratio"] == round(facts["bytes"] / facts["merged_bytes"], 4)
    assert facts["ratio"] < 0.6 or scheme in WHOLE
    assert facts["same_token_ids"] is True
    assert facts["same_greedy_token"] > 0.5
    assert facts["same_stops"] > 0.9
    assert 0 <= facts["kl_per_token"] < 1


def test_same_bytes_twice_and_nothing_of_the_machine(quantized: tuple[str, Paths]) -> None:
    scheme, paths = quantized
    before = contents(paths.quantized(scheme))
    run(Settings(calibration=8), paths, scheme)
    assert contents(paths.quantized(scheme)) == before
    assert str(paths.root).encode() not in b"".join(before.values())


def test_linear_layers_really_are_quantised(merged: Paths, quantized: tuple[str, Paths]) -> None:
    scheme, paths = quantized
    if SCHEMES[scheme].writer != "bits":
        pytest.skip("only bitsandbytes has layers of its own")
    model = load_model(paths.quantized(scheme))
    kind = "Linear8bitLt" if scheme == "int8" else "Linear4bit"
    assert type(model.model.layers[0].mlp.down_proj).__name__ == kind
    assert type(model.lm_head).__name__ == "Linear"


def test_packing_is_off_even_where_the_processor_has_it(merged: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes as bnb

    run(Settings(), merged, "nf4")
    monkeypatch.setattr(bnb.nn.modules, "has_avx512bf16", lambda: True)
    layers = [m for m in load_model(merged.quantized("nf4")).modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert len(layers) == 14
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


def test_saving_after_a_forward_keeps_the_weights(merged: Paths) -> None:
    """bitsandbytes repacks 4-bit weights at the first forward on some processors; then what is saved is wrong."""
    import torch

    run(Settings(), merged, "nf4")
    model = load_model(merged.quantized("nf4"))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        model(torch.arange(3, 60).unsqueeze(0))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("tied", [True, False])
def test_gguf_tensors(tmp_path: Path, tied: bool) -> None:
    """Against the format's own reader: every weight is there once, close to what it was, heads reordered."""
    from gguf import GGUFReader, dequantize

    from tasks.models.gguf.convert import write_gguf

    tokenizer = tiny.tokenizer()
    folder = tiny.model(tmp_path / "model", vocabulary=len(tokenizer) + 5, tied=tied, intermediate_size=100)
    tokenizer.save_pretrained(folder)
    write_gguf(folder, tmp_path / "model.gguf", "q8_0")
    reader = GGUFReader(tmp_path / "model.gguf")
    tensors = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    state = load_model(folder).state_dict()
    assert ("output.weight" in tensors) is not tied
    assert kinds["blk.0.attn_q.weight"] == kinds["token_embd.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_down.weight"] == "F16", "rows of 100 do not divide into blocks of 32"
    assert kinds["blk.1.attn_norm.weight"] == "F32"
    value = state["model.layers.1.self_attn.v_proj.weight"].numpy()
    assert np.abs(tensors["blk.1.attn_v.weight"] - value).max() < np.abs(value).max() / 127
    # 4 query heads of 16: number i of half h of a head goes to place 2 i + h
    query = state["model.layers.1.self_attn.q_proj.weight"].numpy().reshape(4, 2, 8, 64)
    reordered = tensors["blk.1.attn_q.weight"].reshape(4, 8, 2, 64)
    assert np.abs(reordered[2, 5, 1] - query[2, 1, 5]).max() < np.abs(query).max() / 127


def field(reader: Any, name: str) -> Any:
    return reader.fields[name].contents()


def test_gguf_metadata(quantized: tuple[str, Paths]) -> None:
    scheme, paths = quantized
    if scheme != "gguf-q8_0":
        pytest.skip("only GGUF has it")
    from gguf import GGUFReader

    file = paths.quantized(scheme) / "model-q8_0.gguf"
    tokenizer = tiny.tokenizer()
    reader = GGUFReader(file)
    assert struct.unpack("<4sI", file.read_bytes()[:8]) == (b"GGUF", 3)
    assert field(reader, "tokenizer.ggml.model") == "gpt2"
    assert field(reader, "tokenizer.ggml.pre") == "gpt-2"
    assert field(reader, "tokenizer.chat_template") == tiny.CHATML
    assert field(reader, "tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id
    assert field(reader, "tokenizer.ggml.padding_token_id") == tokenizer.pad_token_id
    assert field(reader, "llama.attention.head_count_kv") == 2
    kinds = dict(zip(field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type"), strict=True))
    assert kinds["<|im_end|>"] == 3, "control"
    assert kinds["a"] == 1, "normal"


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is missing")
def test_gguf_of_a_sentencepiece_like_model(tmp_path: Path) -> None:
    """stories260K: byte fallback, tied embeddings, rows of 172; its text goes on as before."""
    import torch
    from transformers import AutoTokenizer

    from tasks.models.gguf.convert import write_gguf
    from tasks.models.gguf.model import LlamaCpp

    folder = DATA / "models" / "stories260K-hf"
    write_gguf(folder, tmp_path / "model.gguf", "q8_0")
    known = AutoTokenizer.from_pretrained(folder)
    running = LlamaCpp(tmp_path / "model.gguf")
    for text in ("Once upon a time, there was a little girl.", "Straße 東京\n\ttab", "It's 12  o'clock"):
        assert running.tokenize(text) == known(text, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([known("Once upon a time, there was a")["input_ids"]])
    expected = load_model(folder).generate(ids, max_new_tokens=30, do_sample=False, pad_token_id=0)
    answer = running.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=30, stopping_criteria=[])
    assert torch.equal(answer, expected)


def test_too_far_from_merged_is_refused(merged: Paths) -> None:
    with pytest.raises(CheckFailed, match=r"quantize\.max_divergence = 1e-9"):
        run(Settings(max_divergence=1e-9), Paths(merged.root), "nf4")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limits": {"nf4": 1e-9}}, r"quantize\.limits\.nf4 = 1e-9 allows"),
        (
            {"min_same_tokens": 1.0},
            r"on the next token in [\d.]+% of \d+ positions, less than quantize\.min_same_tokens = 1",
        ),
    ],
)
def test_limits_of_a_scheme(merged: Paths, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        run(Settings(**settings), Paths(merged.root), "nf4")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.quantize import schemes

    monkeypatch.setattr(schemes, "find_spec", lambda _: None)
    with pytest.raises(MachineError, match=r"torchao-int8: it needs the package torchao.*temper\[torchao\]"):
        run(Settings(), Paths(), "torchao-int8")


def test_unknown_scheme() -> None:
    with pytest.raises(SettingsError, match="unknown scheme 'q3'; known: nf4, fp4, int8, gguf-f32"):
        run(Settings(), Paths(), "q3")


@pytest.mark.parametrize(
    ("schemes", "message"),
    [(["nf5"], "unknown scheme nf5; did you mean 'nf4'"), (["nf4", "nf4"], "more than once")],
)
def test_schemes_are_validated(schemes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(schemes=schemes)


def test_no_scheme_is_a_choice() -> None:
    assert Settings(schemes=[]).schemes == []
