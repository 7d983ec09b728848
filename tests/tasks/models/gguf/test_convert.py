"""A GGUF in a real llama.cpp: the logits of transformers, the same token ids for a rendered chat, the same stops."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.core.errors import CheckFailed, MachineError, ModelError
from tests.tasks import tiny

torch = pytest.importorskip("torch")

from tasks.models.gguf import converter  # noqa: E402 - after the skip
from tasks.models.gguf.convert import write_gguf  # noqa: E402
from tasks.models.gguf.model import LlamaCpp  # noqa: E402

ROPE = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Mistral's tokenizers from v3 on (Tekken) cut text into words."""

TEXTS = ("start web and  stop\n'db' 東京 — <b>42</b>", " it's\tISO 9001\r\n\n", "<|endoftext|>", "a ")


def model(folder: Path, architecture: str, **options: Any) -> Any:
    """Save a small random model of `architecture` and a tokenizer; return the model."""
    import transformers

    tokenizer = tiny.tokenizer()
    torch.manual_seed(0)
    text = f"{architecture}TextConfig"
    config = getattr(transformers, text if hasattr(transformers, text) else f"{architecture}Config")(
        **{
            "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256,
            "initializer_range": 0.2, "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": 2,
            "pad_token_id": 0, **options,
        }
    )  # fmt: skip
    built = getattr(transformers, f"{architecture}ForCausalLM")(config).eval()
    for name, weight in built.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight)
    built.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return built


def logits(built: Any, ids: list[int]) -> Any:
    """(T, V) by transformers."""
    with torch.no_grad():
        return built(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def near(file: Path, built: Any, ids: list[int]) -> None:
    """llama.cpp computes what transformers computes, up to its tables of exponentials in float16."""
    expected, measured = logits(built, ids), LlamaCpp(file).logits(ids)
    assert np.abs(measured - expected).max() < 2e-3 * np.abs(expected).max()
    assert (measured.argmax(-1) == expected.argmax(-1)).mean() > 0.97


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("Llama", {"tie_word_embeddings": True, "rope_parameters": ROPE}),
        ("Llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}, "head_dim": 32}),
        ("Mistral", {"sliding_window": None}),
        ("Qwen2", {}),
        (
            "Gemma3",
            {"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"], "query_pre_attn_scalar": 16},
        ),
    ],
)
def test_the_logits_of_transformers(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    built = model(tmp_path, architecture, **options)
    write_gguf(tmp_path, tmp_path / "model.gguf", "f32")
    near(tmp_path / "model.gguf", built, list(range(3, 60)))


@pytest.mark.parametrize("family", ["gpt2", "falcon", "deepseek_v3", "lfm2", "mamba2", "mistral3"])
def test_families_that_the_converter_reads_by_older_names(tmp_path: Path, family: str) -> None:
    """Each has a field that transformers 5 calls otherwise or leaves out, or a class within a class."""
    from tests.families.build import build
    from tests.families.oracles import _plain

    build(family, tmp_path)
    write_gguf(tmp_path, tmp_path / "model.gguf", "f32")
    near(tmp_path / "model.gguf", _plain(tmp_path), list(range(3, 60)))


def tekken() -> Any:
    """A byte-level tokenizer that cuts text as Mistral's do."""
    from tokenizers import Regex, pre_tokenizers

    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TEKKEN), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)
    ])  # fmt: skip
    return tokenizer


@pytest.mark.parametrize("kind", ["bytes", "pieces", "tekken"])
def test_a_rendered_chat_has_the_same_tokens_in_all_readings(tmp_path: Path, kind: str) -> None:
    """By the tokenizer that trained, by llama.cpp, and as the file alone is read to evaluate it."""
    from tasks.models.loading import load_tokenizer

    controls = ["<|im_start|>", "<|im_end|>"]
    tokenizer = {"bytes": tiny.tokenizer, "pieces": lambda: tiny.pieces(controls), "tekken": tekken}[kind]()
    tiny.model(tmp_path / "model", vocabulary=len(tokenizer))
    tokenizer.chat_template = tiny.CHATML
    tokenizer.save_pretrained(tmp_path / "model")
    write_gguf(tmp_path / "model", tmp_path / "model.gguf", "f32")
    running = LlamaCpp(tmp_path / "model.gguf")
    assert running.metadata("tokenizer.chat_template") == tiny.CHATML
    assert running.config.vocab_size == len(tokenizer)
    alone = load_tokenizer(tmp_path) if kind != "tekken" else tokenizer
    for text in TEXTS:
        chat = [{"role": role, "content": text} for role in ("user", "assistant", "user")]
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert running.tokenize(prompt) == ids
        assert alone(prompt, add_special_tokens=False)["input_ids"] == ids


def test_answers_stop_where_those_of_transformers_stop(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    paths = tiny.project(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(paths.base / "model")
    write_gguf(paths.base / "model", tmp_path / "model.gguf", "f32")
    running = LlamaCpp(tmp_path / "model.gguf")
    assert [token for token in range(len(tokenizer)) if running.ends(token)] == [tokenizer.eos_token_id]
    built = AutoModelForCausalLM.from_pretrained(paths.base / "model")
    running.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    for chat in tiny.conversations()[:6]:
        ids = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_tensors="pt")["input_ids"]
        padded, mask = torch.nn.functional.pad(ids, (3, 0)), torch.nn.functional.pad(torch.ones_like(ids), (3, 0))
        with torch.no_grad():
            expected = built.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
        answer = running.generate(padded, attention_mask=mask, max_new_tokens=24, stopping_criteria=[])
        assert answer[0, padded.shape[1] :].tolist() == expected.tolist()


def test_the_same_bytes_twice_and_nothing_of_the_machine(tmp_path: Path) -> None:
    for name in ("one", "two"):
        model(tmp_path / name, "Llama")
        write_gguf(tmp_path / name, tmp_path / f"{name}.gguf", "q8_0")
    first, second = ((tmp_path / f"{name}.gguf").read_bytes() for name in ("one", "two"))
    assert first == second
    assert str(tmp_path).encode() not in first


def test_k_quants(tmp_path: Path) -> None:
    """Rows of 256 are k-quantised as llama.cpp's Q4_K_M; what is left is near, and nothing lies about."""
    from gguf import GGUFReader

    built = model(tmp_path, "Llama", hidden_size=256, intermediate_size=288, initializer_range=0.05)
    write_gguf(tmp_path, tmp_path / "model.gguf", "q4_k_m")
    reader = GGUFReader(tmp_path / "model.gguf")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.attn_q.weight"] == "Q4_K"
    assert kinds["blk.1.attn_v.weight"] == kinds["output.weight"] == "Q6_K"
    assert kinds["blk.1.ffn_down.weight"] == "Q8_0", "Q6_K does not divide rows of 288"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert reader.fields["general.file_type"].contents() == 15
    assert [file.name for file in tmp_path.glob("*.gguf*")] == ["model.gguf"]
    assert not list(tmp_path.glob(".*"))
    ids = list(range(3, 60))
    expected, measured = logits(built, ids), LlamaCpp(tmp_path / "model.gguf").logits(ids)
    assert 0 < np.linalg.norm(measured - expected) / np.linalg.norm(expected) < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["GPTNeoForCausalLM"]}, "does not convert the architecture GPTNeoForCausalLM"),
        ({"architectures": []}, "names no architecture"),
        (
            {"architectures": ["MistralForCausalLM"], "sliding_window": 16},
            r"config\.json has one of 16 tokens",
        ),
    ],
)
def test_what_llama_cpp_does_not_convert_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    model(tmp_path, "Llama")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(ModelError, match=message):
        write_gguf(tmp_path, tmp_path / "model.gguf", "q8_0")
    assert not (tmp_path / "model.gguf").exists()


def test_a_window_that_llama_cpp_lacks_limits_the_context_to_it(tmp_path: Path) -> None:
    """Up to the window, attention over a window is attention over everything."""
    built = model(tmp_path, "Mistral", sliding_window=1024, max_position_embeddings=4096)
    write_gguf(tmp_path, tmp_path / "model.gguf", "f32")
    assert LlamaCpp(tmp_path / "model.gguf").config.max_position_embeddings == 1024
    near(tmp_path / "model.gguf", built, list(range(3, 60)))


def test_a_process_that_dies_is_one_sentence(tmp_path: Path) -> None:
    import os

    from tasks.models.apart import apart

    with pytest.raises(CheckFailed, match=r"model\.gguf: the process ended with exit code 3"):
        apart("model.gguf", os._exit, 3)
    with pytest.raises(CheckFailed, match=r"model\.gguf: ValueError: invalid literal"):
        apart("model.gguf", int, "x")


def test_another_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "converter.zip"
    other.write_bytes(converter.ARCHIVE.read_bytes() + b"x")
    monkeypatch.setattr(converter, "ARCHIVE", other)
    with pytest.raises(MachineError, match="not the tested version of the converter; restore"):
        converter.enter()


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(ModelError, match=r"model\.gguf: llama\.cpp cannot load it"):
        LlamaCpp(tmp_path / "model.gguf")
