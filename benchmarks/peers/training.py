"""LoRA by a peer on the rows of `benchmarks.trainings`, in the peer's environment: `python -m benchmarks.peers.training
PEER FORM PLACE`.

Each gets the tokens and labels as they are, through the place where it takes a user's own data, and keeps its own loop,
batches, padding and packing. What all are told alike: float32, the processor, four rows or packs of 512 a batch, no
checkpointing, no validation beyond what cannot be left out, nothing saved on the way. Time counts from the first
forward pass in training mode to the end of the last step of the optimizer.
"""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.trainings import BATCH, CAPACITY, STEPS, THREADS, note


def _hooks() -> None:
    """Note begin and steps, whichever loop runs."""
    from torch.nn.modules.module import register_module_forward_pre_hook
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def begin(module: Any, _: Any) -> None:
        if module.training and not STEPS:
            note(begins=True)

    register_module_forward_pre_hook(begin)
    register_optimizer_step_post_hook(lambda *_: note())


def rows(place: Path) -> list[dict[str, list[int]]]:
    """`input_ids` and `labels` of each row."""
    return [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]


def llamafactory(form: str, place: Path) -> None:
    """`llamafactory-cli train` with `tokenized_path`; packs are made by its own processor, kept apart by its mask."""
    from datasets import Dataset, DatasetDict
    from llamafactory.data.processor.processor_utils import greedy_knapsack
    from llamafactory.train.tuner import run_exp

    items = [{**row, "attention_mask": [1] * len(row["labels"])} for row in rows(place)]
    if form == "packs":
        items = _knapsacks(rows(place), greedy_knapsack)
    folder = place / "llamafactory"
    shutil.rmtree(folder, ignore_errors=True)  # it refuses a folder that an earlier round left
    DatasetDict({"train": Dataset.from_list(items)}).save_to_disk(str(folder / form))
    run_exp(
        {
            "stage": "sft", "do_train": True, "model_name_or_path": str(place / "model"), "template": "empty",
            "dataset": "rows", "tokenized_path": str(folder / form), "cutoff_len": CAPACITY,
            "packing": form == "packs", "neat_packing": form == "packs", "finetuning_type": "lora",
            "lora_target": "all", "lora_rank": 16, "lora_alpha": 32, "output_dir": str(folder / "out"),
            "per_device_train_batch_size": BATCH, "num_train_epochs": 1, "learning_rate": 1e-4, "use_cpu": True,
            "save_strategy": "no", "report_to": "none", "disable_gradient_checkpointing": True, "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }
    )  # fmt: skip


def _knapsacks(
    items: list[dict[str, list[int]]], knapsacks: Callable[[list[int], int], list[list[int]]]
) -> list[dict[str, list[int]]]:
    """Packs as its `PackedSupervisedDatasetProcessor` writes them, filled up beyond the limit, to a multiple of eight,
    to which its collator rounds up the ids alone."""
    by_length: dict[int, list[dict[str, list[int]]]] = {}
    for item in items:
        by_length.setdefault(len(item["labels"]), []).append(item)
    packs = []
    for lengths in knapsacks([len(item["labels"]) for item in items], CAPACITY):
        pack: dict[str, list[int]] = {"input_ids": [], "labels": [], "attention_mask": [], "position_ids": []}
        for number, length in enumerate(lengths, 1):
            item = by_length[length].pop()
            pack["input_ids"] += item["input_ids"]
            pack["labels"] += item["labels"]
            pack["attention_mask"] += [number] * length
            pack["position_ids"] += range(length)
        for name, fill in (("input_ids", 0), ("labels", -100), ("attention_mask", 0), ("position_ids", 0)):
            pack[name] += [fill] * (CAPACITY + 8 - len(pack[name]))
        packs.append(pack)
    return packs


class Tokenless:
    """What torchtune asks of a tokenizer whose rows are encoded already."""

    pad_id = 0
    max_seq_len = CAPACITY


def tune_rows(tokenizer: Any, path: str, packed: bool) -> Any:
    """The rows as a dataset of torchtune: `tokens` and `labels`; its own packs of them if `packed`."""
    from torch.utils.data import Dataset
    from torchtune.datasets import PackedDataset

    items = [{"tokens": row["input_ids"], "labels": row["labels"]} for row in rows(Path(path))]

    class Rows(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: int) -> dict[str, list[int]]:
            return dict(items[index])

    return PackedDataset(Rows(), max_seq_len=CAPACITY, padding_idx=0) if packed else Rows()


def torchtune(form: str, place: Path) -> None:
    """The recipe `lora_finetune_single_device`."""
    from omegaconf import OmegaConf

    shape = json.loads((place / "model" / "config.json").read_text())
    out = str(place / "torchtune")
    recipe_settings = OmegaConf.create(
        {
            "output_dir": out, "device": "cpu", "dtype": "fp32", "seed": 0, "shuffle": False, "batch_size": BATCH,
            "epochs": 1, "max_steps_per_epoch": None, "gradient_accumulation_steps": 1, "clip_grad_norm": 1.0,
            "compile": False, "log_every_n_steps": 1, "log_peak_memory_stats": False, "resume_from_checkpoint": False,
            "save_adapter_weights_only": True, "enable_activation_checkpointing": False,
            "enable_activation_offloading": False,
            "model": {
                "_component_": "torchtune.models.llama3_2.lora_llama3_2",
                "lora_attn_modules": ["q_proj", "k_proj", "v_proj", "output_proj"], "apply_lora_to_mlp": True,
                "lora_rank": 16, "lora_alpha": 32, "vocab_size": shape["vocab_size"],
                "num_layers": shape["num_hidden_layers"], "num_heads": shape["num_attention_heads"],
                "num_kv_heads": shape["num_key_value_heads"], "embed_dim": shape["hidden_size"],
                "max_seq_len": 2048, "intermediate_dim": shape["intermediate_size"],
            },
            "tokenizer": {"_component_": "benchmarks.peers.training.Tokenless"},
            "checkpointer": {
                "_component_": "torchtune.training.FullModelHFCheckpointer", "checkpoint_dir": str(place / "model"),
                "checkpoint_files": ["model.safetensors"], "recipe_checkpoint": None, "output_dir": out,
                "model_type": "LLAMA3_2",
            },
            "dataset": {
                "_component_": "benchmarks.peers.training.tune_rows", "path": str(place), "packed": form == "packs",
            },
            "optimizer": {"_component_": "torch.optim.AdamW", "fused": True, "lr": 1e-4},
            "lr_scheduler": {
                "_component_": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
                "num_warmup_steps": 1,
            },
            "loss": {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"},
            "metric_logger": {"_component_": "torchtune.training.metric_logging.DiskLogger", "log_dir": out},
        }
    )  # fmt: skip
    recipe = _recipe("lora_finetune_single_device").LoRAFinetuneRecipeSingleDevice(cfg=recipe_settings)
    recipe.setup(cfg=recipe_settings)
    recipe.train()


def _recipe(name: str) -> Any:
    """A recipe's file as a module; as a part of its package it refuses to be imported."""
    packages = Path(importlib.util.find_spec("torchtune").submodule_search_locations[0]).parent  # type: ignore
    spec = importlib.util.spec_from_file_location(name, packages / "recipes" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def litgpt(form: str, place: Path) -> None:
    """`litgpt finetune_lora` on a checkpoint that its own script converted. It has no packing for tuning."""
    import torch
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.config import Config
    from litgpt.data import DataModule
    from litgpt.data.base import get_sft_collate_fn
    from litgpt.finetune import lora
    from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama
    from litgpt.utils import save_config
    from safetensors.torch import load_file
    from torch.utils.data import DataLoader
    from transformers import AutoConfig

    if form != "rows":
        raise SystemExit("litgpt does not pack rows for tuning")
    items: Any = [
        {
            "input_ids": torch.tensor(row["input_ids"]), "labels": torch.tensor(row["labels"]),
            "token_counts": {"raw": len(row["labels"]), "raw_plus_prompt_template": len(row["labels"])},
        }
        for row in rows(place)
    ]  # fmt: skip

    class Rows(DataModule):  # type: ignore[misc]
        prompt_style = "default"

        def connect(self, *_: Any, **__: Any) -> None:
            pass

        def train_dataloader(self) -> Any:
            return DataLoader(items, batch_size=BATCH, collate_fn=get_sft_collate_fn())

        def val_dataloader(self) -> Any:
            return DataLoader(items[:1], batch_size=1, collate_fn=get_sft_collate_fn())

    shape = AutoConfig.from_pretrained(place / "model")
    config = Config(
        name="bench", block_size=2048, vocab_size=shape.vocab_size, padded_vocab_size=shape.vocab_size,
        n_layer=shape.num_hidden_layers, n_head=shape.num_attention_heads, n_query_groups=shape.num_key_value_heads,
        n_embd=shape.hidden_size, rotary_percentage=1.0, parallel_residual=False, bias=False,
        norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", intermediate_size=shape.intermediate_size,
    )  # fmt: skip
    checkpoint = place / "litgpt"
    checkpoint.mkdir(exist_ok=True)
    weights = load_file(str(place / "model" / "model.safetensors"))
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    converted: dict[str, Any] = {}
    copy_weights_hf_llama(config, {}, converted, weights)
    torch.save(converted, checkpoint / "lit_model.pth")
    save_config(config, checkpoint)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (checkpoint / name).write_bytes((place / "tokenizer" / name).read_bytes())
    lora.generate_example = lambda *_: None  # an answer for people, which no other way gives
    lora.save_lora_checkpoint = _finish  # what follows merges and saves; the steps are over
    lora.setup(
        checkpoint, out_dir=place / "litgpt-out", precision="32-true", lora_r=16, lora_alpha=32, lora_dropout=0.0,
        lora_query=True, lora_key=True, lora_value=True, lora_projection=True, lora_mlp=True, data=Rows(),
        train=TrainArgs(
            save_interval=None, log_interval=1, global_batch_size=BATCH, micro_batch_size=BATCH, lr_warmup_steps=1,
            epochs=1, max_seq_length=CAPACITY,
        ),
        eval=EvalArgs(interval=10_000, max_new_tokens=1, max_iters=1, final_validation=False),
        optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-4}},
    )  # fmt: skip


def axolotl(form: str, place: Path) -> None:
    """`axolotl train` on rows that are encoded already; packs are its own."""
    import os

    os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.cli.train import do_train

    folder = place / f"axolotl-{form}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with (folder / "rows.jsonl").open("w") as file:
        for row in rows(place):
            file.write(json.dumps({**row, "attention_mask": [1] * len(row["labels"])}) + "\n")
    settings = {
        "base_model": str(place / "model"), "datasets": [{"path": str(folder / "rows.jsonl"), "ds_type": "json"}],
        "dataset_prepared_path": str(folder / "prepared"), "output_dir": str(folder / "out"),
        "adapter": "lora", "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_target_linear": True,
        "sequence_len": CAPACITY, "sample_packing": form == "packs", "pad_to_sequence_len": False,
        "micro_batch_size": BATCH, "gradient_accumulation_steps": 1, "num_epochs": 1, "learning_rate": 1e-4,
        "optimizer": "adamw_torch", "lr_scheduler": "cosine", "warmup_steps": 1, "val_set_size": 0.0,
        "attn_implementation": "sdpa", "bf16": False, "fp16": False, "tf32": False, "gradient_checkpointing": False,
        "save_strategy": "no", "dataloader_pin_memory": False, "dataloader_num_workers": 0, "use_wandb": False,
        "lora_mlp_kernel": False, "lora_qkv_kernel": False, "lora_o_kernel": False,  # Triton's, for CUDA
    }  # fmt: skip
    config = folder / "config.yml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    do_train(load_cfg(str(config)), TrainerCliArgs())


def _finish(*_: Any, **__: Any) -> None:
    _print()
    sys.stdout.flush()
    sys.exit(0)


def _print() -> None:
    begun, ended = STEPS[0], STEPS[-1]
    print(json.dumps({"seconds": ended[0] - begun[0], "processor": ended[1] - begun[1], "steps": len(STEPS) - 1}))


PEERS: dict[str, Callable[[str, Path], None]] = {
    "llamafactory": llamafactory,
    "torchtune": torchtune,
    "litgpt": litgpt,
    "axolotl": axolotl,
}
FORMS = {peer: ("rows",) if peer == "litgpt" else ("rows", "packs") for peer in PEERS}


def main() -> None:
    """One peer, in this process; the last line of the output is its time."""
    import torch

    peer, form, place = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(THREADS)
    _hooks()
    PEERS[peer](form, place)
    _print()


if __name__ == "__main__":
    main()
