"""A GGUF in a real llama.cpp: the logits of transformers, the same token ids for a rendered chat, the same stops."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tasks import tiny

torch = pytest.importorskip("torch")
llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python (the extra llama) is not installed")

from tasks.models.gguf import write_gguf  # noqa: E402 - after the skips
from tasks.quantize.llamacpp import write_k_quant  # noqa: E402

ROPE = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip


def model(folder: Path, architecture: str, **options: Any) -> tuple[Any, Any]:
    """Save a small random model of `architecture` and a tokenizer; return both."""
    import transformers

    tokenizer = tiny.tokenizer()
    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(
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
    return built, tokenizer


def opened(file: Path) -> Any:
    return llama_cpp.Llama(str(file), n_ctx=256, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("Llama", {"tie_word_embeddings": True}),
        ("Llama", {"rope_parameters": ROPE}),
        ("Llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}}),
        ("Mistral", {"sliding_window": None}),
        ("Qwen2", {}),
        ("Qwen3", {}),
    ],
)
def test_the_logits_of_transformers(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    built, tokenizer = model(tmp_path, architecture, **options)
    write_gguf(tmp_path, tmp_path / "model.gguf", "f32")
    chat = [{"role": "user", "content": "start web and  stop\n'db' 東京 — <b>42</b>"}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        expected = built(torch.tensor([ids])).logits[0].numpy()
    running = opened(tmp_path / "model.gguf")
    assert running.tokenize(prompt.encode(), add_bos=False, special=True) == ids
    running.eval(ids)
    scores = np.array(running.scores[: len(ids)])
    assert np.abs(scores - expected).max() < 0.01 * np.abs(expected).max()
    assert (scores.argmax(-1) == expected.argmax(-1)).mean() > 0.95


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
def test_a_rendered_chat_has_the_same_tokens_in_all_readings(tmp_path: Path, kind: str) -> None:
    """By the tokenizer that trained, by llama.cpp, and as the file alone is read to evaluate it.

    transformers itself puts no space after a control token of a GGUF file, and adds a token to byte-level ones.
    """
    from tasks.models.loading import load_tokenizer

    tokenizer = tiny.tokenizer() if kind == "bytes" else tiny.pieces(["<|im_start|>", "<|im_end|>"])
    tiny.model(tmp_path / "model", vocabulary=len(tokenizer))
    tokenizer.chat_template = tiny.CHATML
    tokenizer.save_pretrained(tmp_path / "model")
    write_gguf(tmp_path / "model", tmp_path / "model.gguf", "f32")
    alone = load_tokenizer(tmp_path)
    assert len(alone) == len(tokenizer), "no token more than the model has"
    running = opened(tmp_path / "model.gguf")
    chats = [
        [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "docker stop"},
            {"role": "user", "content": text},
        ]
        for text in ("start the  db", " 東京 —\n", "<|endoftext|>", "a\tb ")
    ]
    for chat in chats:
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert running.tokenize(prompt.encode(), add_bos=False, special=True) == ids
        assert alone(prompt, add_special_tokens=False)["input_ids"] == ids
        assert alone.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == prompt


def test_chat_stops_where_transformers_stops(tmp_path: Path) -> None:
    """The template of the file, its eos, and greedy decoding give the text that transformers gives."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    paths = tiny.project(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(paths.base / "model")
    write_gguf(paths.base / "model", tmp_path / "model.gguf", "f32")
    running = opened(tmp_path / "model.gguf")
    assert running.metadata["tokenizer.chat_template"] == tokenizer.chat_template
    assert running.token_eos() == tokenizer.eos_token_id
    built = AutoModelForCausalLM.from_pretrained(paths.base / "model")
    for chat in tiny.conversations()[:6]:
        ids = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_dict=False)
        with torch.no_grad():
            answer = built.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)[0][len(ids) :].tolist()
        answered = running.create_chat_completion(chat[:1], max_tokens=24, temperature=0.0)
        assert answered["usage"]["prompt_tokens"] == len(ids), "no second BOS, no other words"
        expected = tokenizer.decode(
            [token for token in answer if token != tokenizer.eos_token_id], skip_special_tokens=True
        )
        choice = answered["choices"][0]
        assert choice["finish_reason"] == ("stop" if answer[-1] == tokenizer.eos_token_id else "length")
        # bytes that are no UTF-8 are marked by one and left out by the other
        assert choice["message"]["content"].strip() == expected.replace("\ufffd", "").strip()


def test_k_quants(tmp_path: Path) -> None:
    """Rows of 256 are k-quantised by llama.cpp; what is left is near, and nothing lies about."""
    from gguf import GGUFReader

    built, _ = model(tmp_path, "Llama", hidden_size=256, intermediate_size=256, initializer_range=0.05)
    write_k_quant(tmp_path, tmp_path / "model.gguf", "q4_k_m")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == "Q4_K"
    assert not (tmp_path / "whole.gguf").exists()
    ids = list(range(3, 60))
    with torch.no_grad():
        expected = built(torch.tensor([ids])).logits[0].numpy()
    running = opened(tmp_path / "model.gguf")
    running.eval(ids)
    scores = np.array(running.scores[: len(ids)])
    assert 0 < np.linalg.norm(scores - expected) / np.linalg.norm(expected) < 0.3
