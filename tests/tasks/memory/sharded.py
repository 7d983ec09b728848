"""Counts what each of two processes on a CPU holds of a model in training, by walking it: torchrun starts this file.

    torchrun --nproc-per-node 2 sharded.py fsdp2 full OUT

Writes OUT/RANK.json with the bytes of weights, gradients and optimiser states. Knows nothing of the estimate.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

VOCABULARY, WIDTH, INNER, LAYERS, RANK = 1003, 64, 150, 3, 5
"""Sizes that two processes cannot divide evenly among them."""


def config() -> Any:
    """transformers' configuration of the model."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip


def model(method: str) -> Any:
    """The model in float32, with an adapter where `method` is lora."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(config(), dtype=torch.float32)
    if method == "full":
        return base
    from peft import LoraConfig, get_peft_model

    return get_peft_model(base, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))


def held(value: Any) -> int:
    """Bytes of `value` that this process holds."""
    from torch.distributed.tensor import DTensor

    local = value.to_local() if isinstance(value, DTensor) else value
    return int(local.numel() * local.element_size())


def fsdp2(tuned: Any) -> dict[str, int]:
    """One step with every block, the embeddings, the head and the rest in a part of its own."""
    from torch.distributed.fsdp import fully_shard

    inner = tuned.get_base_model() if hasattr(tuned, "get_base_model") else tuned
    parts: list[Any] = [*inner.model.layers, inner.model.embed_tokens, inner.lm_head, tuned]
    for part in parts:
        fully_shard(part)
    optimizer = torch.optim.AdamW([weight for weight in tuned.parameters() if weight.requires_grad], lr=1e-3)
    ids = torch.arange(32).reshape(2, 16)
    tuned(input_ids=ids, labels=ids).loss.backward()
    gradients = sum(held(weight.grad) for weight in tuned.parameters() if weight.grad is not None)
    optimizer.step()
    states = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    return {"weights": sum(map(held, tuned.parameters())), "gradients": gradients, "optimizer": sum(map(held, states))}


def zero(tuned: Any, stage: int) -> dict[str, int]:
    """One step by DeepSpeed, whose optimiser holds the trained weights once more."""
    deepspeed: Any = import_module("deepspeed")
    deepspeed.init_distributed(dist_backend="gloo")
    trained = [weight for weight in tuned.parameters() if weight.requires_grad]
    settings = {
        "train_micro_batch_size_per_gpu": 2, "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": stage, "stage3_param_persistence_threshold": 0},
    }  # fmt: skip
    engine, optimizer, *_ = deepspeed.initialize(
        model=tuned, optimizer=torch.optim.AdamW(trained, lr=1e-3), config=settings
    )
    ids = torch.arange(32).reshape(2, 16)
    engine.backward(engine(input_ids=ids, labels=ids).loss)
    if stage == 3:
        gradients = sum(held(part) for part in optimizer.averaged_gradients[0])
        weights = sum(held(weight.ds_tensor) for weight in tuned.parameters())
        masters = optimizer.fp32_partitioned_groups_flat
    else:
        gradients = sum(held(part) for part in optimizer.averaged_gradients[0])
        weights, masters = sum(map(held, tuned.parameters())), optimizer.single_partition_of_fp32_groups
    engine.step()
    states = [value for state in optimizer.optimizer.state.values() for name, value in state.items() if name != "step"]
    return {"weights": weights, "gradients": gradients, "optimizer": sum(map(held, [*masters, *states]))}


def main() -> None:
    """See the module's docstring."""
    strategy, method, out = sys.argv[1:4]
    torch.set_num_threads(1)
    if strategy == "fsdp2":
        torch.distributed.init_process_group("gloo")
        counts = fsdp2(model(method))
    else:
        counts = zero(model(method), int(strategy[-1]))
    Path(out, f"{os.environ['RANK']}.json").write_text(json.dumps(counts))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
