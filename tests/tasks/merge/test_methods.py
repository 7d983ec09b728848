"""Merging one layer at a time gives the bytes of peft's `merge_and_unload`, for every kind of adapter that it takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.merge.adapter import UNMERGEABLE, WHOLE, read
from tasks.merge.layers import OffloadedModel
from tasks.merge.lora import plain_lora
from tasks.merge.plan import plan
from tasks.merge.source import source
from tasks.models.shards import StoredTensor
from tasks.models.writing import Pieces, PlannedTensor
from tests.tasks import tiny
from tests.tasks.tiny import loaded

torch = pytest.importorskip("torch")

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASE = {"sha256": "", "location": "model"}


def kinds() -> dict[str, Callable[[], Any]]:
    """Every kind of adapter, small; peft is imported when one is made."""
    import peft

    lora = {"r": 4, "target_modules": LINEAR}
    return {
        "lora": lambda: peft.LoraConfig(**lora),
        "rslora": lambda: peft.LoraConfig(**lora, use_rslora=True),
        "dora": lambda: peft.LoraConfig(**lora, use_dora=True),
        "lora with biases": lambda: peft.LoraConfig(**lora, bias="all"),
        "lora with a bias of its own": lambda: peft.LoraConfig(r=4, target_modules=["q_proj"], lora_bias=True),
        "lora, ranks by layer": lambda: peft.LoraConfig(
            **lora, rank_pattern={"q_proj": 8}, alpha_pattern={"v_proj": 3}
        ),
        "lora on embeddings and head": lambda: peft.LoraConfig(
            r=4, target_modules=["q_proj", "embed_tokens", "lm_head"]
        ),
        "lora, modules saved whole": lambda: peft.LoraConfig(
            **lora, modules_to_save=["embed_tokens", "lm_head", "norm"]
        ),
        "lora, single tokens": lambda: peft.LoraConfig(**lora, trainable_token_indices=[3, 5]),
        "adalora": lambda: peft.AdaLoraConfig(target_modules=LINEAR, total_step=10),
        "loha": lambda: peft.LoHaConfig(**lora),
        "lokr": lambda: peft.LoKrConfig(**lora),
        "ia3": lambda: peft.IA3Config(target_modules=LINEAR, feedforward_modules=["down_proj"]),
        "oft": lambda: peft.OFTConfig(target_modules=LINEAR, oft_block_size=16),
        "boft": lambda: peft.BOFTConfig(target_modules=LINEAR, boft_block_size=8),
        "vera": lambda: peft.VeraConfig(r=4, target_modules=["q_proj", "o_proj"]),
        "fourierft": lambda: peft.FourierFTConfig(n_frequency=50, target_modules=LINEAR),
        "miss": lambda: peft.MissConfig(r=8, target_modules=LINEAR),
        "hra": lambda: peft.HRAConfig(**lora),
        "ln_tuning": lambda: peft.LNTuningConfig(target_modules=["input_layernorm", "norm"]),
        "trainable_tokens": lambda: peft.TrainableTokensConfig(token_indices=[3, 5], target_modules=["embed_tokens"]),
        "vblora": lambda: peft.VBLoRAConfig(**lora, vector_length=16, num_vectors=8),
        "randlora": lambda: peft.RandLoraConfig(**lora),
        "road": lambda: peft.RoadConfig(target_modules=LINEAR, group_size=16),
        "shira": lambda: peft.ShiraConfig(**lora),
        "c3a": lambda: peft.C3AConfig(block_size=16, target_modules=LINEAR),
        "waveft": lambda: peft.WaveFTConfig(n_frequency=50, target_modules=LINEAR),
        "delora": lambda: peft.DeloraConfig(**lora),
        "gralora": lambda: peft.GraloraConfig(r=8, target_modules=LINEAR),
        "hira": lambda: peft.HiraConfig(**lora),
    }


KINDS = (
    "lora", "rslora", "dora", "lora with biases", "lora with a bias of its own", "lora, ranks by layer",
    "lora on embeddings and head", "lora, modules saved whole", "lora, single tokens", "adalora", "loha", "lokr", "ia3",
    "oft", "boft", "vera", "fourierft", "miss", "hra", "ln_tuning", "trainable_tokens", "vblora", "randlora", "road",
    "shira", "c3a", "waveft", "delora", "gralora", "hira",
)  # fmt: skip

PLAIN = KINDS[:2] + KINDS[3:4] + KINDS[5:9]
"""LoRA on the queries that is merged in memory used again, and not by peft."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bfloat16, untied, with biases, in two files or more."""
    folder = tiny.model(
        tmp_path_factory.mktemp("base"), vocabulary=320, tied=False, dtype="bfloat16", attention_bias=True
    )
    loaded(folder).to(torch.bfloat16).save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def adapt(base: Path, folder: Path, config: Any) -> Any:
    """Save an adapter with random weights; return base and adapter, loaded anew by peft."""
    from peft import PeftModel, get_peft_model

    torch.manual_seed(1)
    tuned = get_peft_model(loaded(base), config)
    with torch.no_grad():
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
    tuned.save_pretrained(folder)
    return PeftModel.from_pretrained(loaded(base), folder)


def tensors_of(files: dict[str, dict[str, PlannedTensor]]) -> dict[str, Any]:
    tensors = {}
    for name, planned in (pair for each in files.values() for pair in each.items()):
        assert not isinstance(planned.make, Pieces)
        tensors[name] = planned.make.read() if isinstance(planned.make, StoredTensor) else planned.make()
    return tensors


def test_every_kind_is_named() -> None:
    assert set(kinds()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # peft warns of what this adapter cannot do with quantised layers
def test_same_bytes_as_peft(base: Path, tmp_path: Path, kind: str) -> None:
    tuned = adapt(base, tmp_path, kinds()[kind]())
    adapter = read(tmp_path, BASE)
    assert adapter.whole is None
    offloaded = OffloadedModel(source(base))
    offloaded.attach(tmp_path, set(adapter.tensors))
    assert (plain_lora(offloaded, "model.layers.0.self_attn.q_proj.weight") is not None) == (kind in PLAIN)
    files = plan(offloaded, None)
    merged = tensors_of(files)
    before = {name: tensor.read() for name, tensor in source(base).tensors.items()}
    whole = {name: weight.bfloat16() for name, weight in tuned.merge_and_unload(safe_merge=True).state_dict().items()}
    assert set(merged) == set(whole)
    assert any(not torch.equal(whole[name], before[name]) for name in whole), "the adapter changes nothing"
    assert not [name for name in whole if not torch.equal(merged[name], whole[name])]
    copied = {
        name
        for tensors in files.values()
        for name, planned in tensors.items()
        if isinstance(planned.make, StoredTensor)
    }
    assert all(torch.equal(whole[name], before[name]) for name in copied)


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_what_changes_the_base_is_left_to_peft(base: Path, tmp_path: Path, start: Any) -> None:
    from peft import LoraConfig

    adapt(base, tmp_path, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=start))
    assert "changes the base's own weights" in str(read(tmp_path, BASE).whole)


def test_the_lists_name_kinds_of_peft() -> None:
    from peft import PeftType

    assert not {*UNMERGEABLE, *WHOLE} - {kind.name for kind in PeftType}
