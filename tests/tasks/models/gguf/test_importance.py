"""Importance is what transformers says the columns were multiplied with, and rounding by it stays nearer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.models.gguf.convert import write_gguf
from tests.tasks import tiny
from tests.tasks.stories import SHARED, needed

torch = pytest.importorskip("torch")

from tasks.models.apart import apart  # noqa: E402
from tasks.models.equivalence import compare, logits  # noqa: E402
from tasks.models.gguf.importance import measure  # noqa: E402
from tasks.models.gguf.proof import read_back  # noqa: E402
from tasks.models.loading import load_model, load_tokenizer  # noqa: E402
from tasks.quantize.settings import Settings  # noqa: E402

ROWS = [list(range(3, 40)), list(range(60, 5, -2))]

NAMES = {
    "attn_q": "self_attn.q_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
"""llama.cpp's names of the layers of a Llama, with those of transformers."""


def saved(folder: Path, architecture: str, **options: Any) -> Any:
    """A random model of so many experts, with the tests' tokenizer, as transformers has it."""
    import transformers

    tokenizer = tiny.tokenizer()
    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, initializer_range=0.2, **options,
    )  # fmt: skip
    model = getattr(transformers, f"{architecture}ForCausalLM")(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def importance(folder: Path) -> dict[str, Any]:
    write_gguf(folder, folder / "model.gguf", "f32")
    return apart("importance", measure, folder / "model.gguf", ROWS)


def test_mean_squares_are_those_of_the_inputs_in_transformers(tmp_path: Path) -> None:
    model = saved(tmp_path, "Llama")
    squares: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(_: Any, inputs: Any) -> None:
            squares[name] = squares.get(name, 0) + inputs[0].double().square().flatten(0, -2).sum(0)

        return hook

    for layer in range(2):
        for name, module in NAMES.items():
            model.get_submodule(f"model.layers.{layer}.{module}").register_forward_pre_hook(
                keep(f"blk.{layer}.{name}.weight")
            )
    with torch.no_grad():
        for row in ROWS:
            model(torch.tensor([row]))
    measured = importance(tmp_path)
    tokens = sum(map(len, ROWS))
    for name, expected in squares.items():
        assert measured[name].shape == (1, len(expected))
        np.testing.assert_allclose(measured[name][0], expected.numpy() / tokens, rtol=0.02, atol=1e-5)
    assert not {"output.weight", "token_embd.weight"} & set(measured)


def test_experts_have_an_importance_each(tmp_path: Path) -> None:
    """Where every token goes to every expert, each sees what the router sees; where to one, they see their share."""
    saved(tmp_path / "all", "Mixtral", num_local_experts=3, num_experts_per_tok=3)
    every = importance(tmp_path / "all")
    router = every["blk.0.ffn_gate_inp.weight"][0]
    assert every["blk.0.ffn_up_exps.weight"].shape == (3, 64)
    for expert in every["blk.0.ffn_up_exps.weight"]:
        np.testing.assert_allclose(expert, router, rtol=1e-4)
    down = every["blk.0.ffn_down_exps.weight"]
    assert down.shape == (3, 96)
    assert not np.allclose(down[0], down[1], rtol=0.1)
    saved(tmp_path / "one", "Mixtral", num_local_experts=3, num_experts_per_tok=1)
    one = importance(tmp_path / "one")
    seen, router = one["blk.0.ffn_up_exps.weight"], one["blk.0.ffn_gate_inp.weight"][0]
    shares = np.linalg.lstsq(seen.T.astype(float), router.astype(float), rcond=None)[0]
    assert shares.min() > -1e-3
    assert shares.sum() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(seen.T @ shares, router, rtol=1e-3)


def trained(folder: Path) -> Any:
    """Save a Llama of 256 x 2 that learned stories which stories260K drew; return it, and stories as token ids."""
    from transformers import LlamaConfig, LlamaForCausalLM

    teacher = load_model(SHARED, torch.float32)
    torch.manual_seed(0)
    start = torch.ones(256, 1, dtype=torch.long)
    ids = teacher.generate(start, do_sample=True, max_new_tokens=127, min_new_tokens=127, pad_token_id=0)
    config = LlamaConfig(
        vocab_size=teacher.config.vocab_size, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, max_position_embeddings=512,
    )  # fmt: skip
    model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(160):
        batch = ids[torch.randint(0, 192, (8,))]
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    load_tokenizer(SHARED).save_pretrained(folder)
    return model, ids.tolist()


@needed
@pytest.mark.long
def test_a_trained_model_stays_nearer_in_as_many_bytes(tmp_path: Path) -> None:
    """Divergence on rows that neither training nor measuring has seen, in types of 4 and 3 bits."""
    model, rows = trained(tmp_path / "model")
    expected = logits(model, rows[192:224])
    for kind in ("q4_0", "q3_k_m"):
        divergence, sizes = [], set()
        for count in (0, 64):
            file = tmp_path / f"{kind}.gguf"
            write_gguf(tmp_path / "model", file, kind, rows[:count])
            measured = list(map(torch.from_numpy, read_back(file, rows[192:224], [], []).logits))
            divergence.append(compare(expected, measured, file.name, set()).divergence)
            sizes.add(file.stat().st_size)
        assert divergence[1] < 0.97 * divergence[0]
        assert len(sizes) == 1


def test_it_is_refused_where_it_has_no_effect() -> None:
    with pytest.raises(ValueError, match="imatrix has no effect on these schemes; set it to false, or add one of gguf"):
        Settings(schemes=["nf4", "gguf-q8_0"], imatrix=True)
    assert Settings(schemes=["gguf-q4_k_m", "nf4"], imatrix=True).imatrix
