"""Ways to train LoRA on the same rows, each in a process of its own: `python -m benchmarks.trainings WAY PLACE`.

The last line is an object: `first`, when the first step ended, on the clock of the system, and `first_processor`, in
seconds of processors since the process began; `seconds` from the beginning of training to the end of its last step, by
form: `rows`, and `packs` of several rows each; and `processor`, the same of processors, on which what else the machine
does has less effect.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.fixed import FIXED
from tasks.core.imports import collect_seldom, spare_transformers

BATCH = 4
CAPACITY = 512
"""Tokens of the longest row, and of a pack."""

NARROW, WIDE = 256, 1024
"""Numbers that the models have for a token between two layers: one of 5 million weights, and one of 80."""

THREADS = 2
VOCABULARY = 4096
FORMS: tuple[str, ...] = ("rows", "packs")

STEPS: list[tuple[float, float]] = []
"""When training began, and when each step ended: on the clock, and in seconds of processors."""


def note(begins: bool = False) -> None:
    """Note the moment; as that at which training begins, the first of all."""
    if begins:
        STEPS.clear()
    STEPS.append((time.perf_counter(), time.process_time()))


def make(place: Path, rows: int, width: int) -> dict[str, Any]:
    """Two projects up to the stage template, and a model of `width`. Tokens of the rows.

    Rows have random lengths, log-normal about 120 tokens, of which the latter half is trained.
    """
    import pyarrow as pa
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tasks.core.files import write_json
    from tasks.models.record import describe, identity
    from tasks.template.packing import packed
    from tasks.training.rows import count, load

    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(4.8, 0.6, rows), 8, CAPACITY).astype(int)
    ids = [random.integers(3, VOCABULARY, length, dtype=np.int32) for length in lengths]
    labels = [np.where(np.arange(len(row)) < len(row) // 2, -100, row).astype(np.int32) for row in ids]
    kind = pa.list_(pa.int32())
    columns = {"input_ids": pa.array(ids, kind), "labels": pa.array(labels, kind)}
    table = pa.table({"id": [str(row) for row in range(rows)], **columns})
    for form in FORMS:
        templated = place / form / "data" / "templated"
        PreTrainedTokenizerFast(tokenizer_object=_coder(), **_ENDS).save_pretrained(templated / "tokenizer")
        with pa.OSFile(str(templated / "rows.arrow"), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        with pa.memory_map(str(templated / "rows.arrow")) as source, pa.ipc.open_stream(source) as stream:
            batches = list(packed(stream, CAPACITY)) if form == "packs" else table.to_batches()
        for split, chosen in (("train", batches), ("validation", [])):
            file = str(templated / f"{split}.arrow")
            with pa.OSFile(file, "wb") as out, pa.ipc.new_stream(out, batches[0].schema) as stream:
                for batch in chosen:
                    stream.write_batch(batch)
        counts = count(load(templated / "train.arrow"))
        write_json(templated / "audit.json", {"splits": {"train": {"trained": counts.as_dict()}}})
    heads = max(8, width // 64)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=6,
        num_attention_heads=heads, num_key_value_heads=heads // 2, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(place / "base" / "model")
    files = describe(place / "base" / "model")
    record = {"kind": "trained", "location": "model", "revision": None, "files": files, "sha256": identity(files)}
    write_json(place / "base" / "base.json", record)
    for form in FORMS:
        (place / form / "data" / "base").symlink_to(place / "base")
    return {"tokens": counts.tokens}


_ENDS = {"eos_token": "<e>", "pad_token": "<p>"}


def _coder() -> Any:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"<p>": 0, "<u>": 1, "<e>": 2}, unk_token="<u>"))


def rows_of(place: Path, form: str) -> Any:
    """The rows, memory-mapped."""
    from tasks.training.rows import load

    return load(place / form / "data" / "templated" / "train.arrow")


def tuned(folder: Path, dtype: str = "float32") -> Any:
    """The model in `folder`, held in `dtype`, with LoRA on every linear layer but the head."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"))


def batches(place: Path, form: str, lines: int = BATCH) -> Iterator[dict[str, Any]]:
    """Batches of `lines` in the order of the file, filled up to the longest, as a person would write it.

    In a pack the position of a token is that within its row, by which the model keeps rows apart; a row's first token
    has no loss, for the row before it would foretell it.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    rows = rows_of(place, form)
    items = [[row] for row in rows]
    if form == "packs":
        packs = np.array(rows["pack"])
        items = [[rows[int(row)] for row in np.flatnonzero(packs == pack)] for pack in range(packs.max() + 1)]
    for start in range(0, len(items), lines):
        chosen = items[start : start + lines]
        columns = {
            "input_ids": ([np.concatenate([row["input_ids"] for row in item]) for item in chosen], 0),
            "labels": ([np.concatenate([[-100, *row["labels"][1:]] for row in item]) for item in chosen], -100),
        }
        if form == "packs":
            places = [np.concatenate([np.arange(len(row["labels"])) for row in item]) for item in chosen]
            columns["position_ids"] = (places, 0)
        else:
            columns["attention_mask"] = ([np.ones(len(item[0]["labels"]), int) for item in chosen], 0)
        yield {
            name: pad_sequence([torch.from_numpy(line) for line in values], batch_first=True, padding_value=fill).long()
            for name, (values, fill) in columns.items()
        }


def bare(place: Path) -> Iterator[str]:
    """A loop of a few lines: torch's AdamW, no log, no check, no checkpoint."""
    import torch

    torch.set_num_threads(THREADS)
    for form in FORMS:
        model = tuned(place / "base" / "model").train()
        optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-4)
        note(begins=True)
        for batch in batches(place, form):
            model(**batch, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            note()
        yield form


def ours(place: Path, dtype: str = "float32") -> Iterator[str]:
    """The stage `train`, with its checks, its log, its progress, and what it saves."""
    from tasks.core.paths import Paths
    from tasks.train import stage as train
    from tasks.training import callbacks, trainer

    class Noting(callbacks.MonitorCallback):
        def on_train_begin(self, *given: Any, **more: Any) -> None:
            super().on_train_begin(*given, **more)
            note(begins=True)

        def on_step_end(self, *given: Any, **more: Any) -> None:
            super().on_step_end(*given, **more)
            note()

    trainer.MonitorCallback = Noting  # type: ignore[attr-defined]
    for form in FORMS:
        rows = rows_of(place, form)
        items = len(set(rows["pack"])) if form == "packs" else len(rows)
        settings = {
            "steps": -(-items // BATCH), "batch_size": BATCH, "learning_rate": 1e-4, "warmup_steps": 1,
            "threads": THREADS, "checkpoint_steps": 10_000, "dtype": dtype,
        }  # fmt: skip
        train.run(train.Settings.model_validate(settings), Paths(place / form))
        yield form


def trl(place: Path) -> Iterator[str]:
    """trl's trainer as a script of its documentation would call it, told only what the others are told."""
    import torch
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    class Note(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *given: Any, **more: Any) -> None:
            note()

        def on_train_begin(self, *given: Any, **more: Any) -> None:
            note(begins=True)

    torch.set_num_threads(THREADS)
    for form in FORMS:
        packing: dict[str, Any] = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
        if form == "packs":
            packing = {"packing": True, "max_length": CAPACITY}
        arguments = SFTConfig(
            output_dir=str(place / "trl"), per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=1e-4,
            use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True, report_to=[],
            activation_checkpointing=False, dataloader_pin_memory=False, **packing,
        )  # fmt: skip
        SFTTrainer(
            model=tuned(place / "base" / "model"),
            args=arguments,
            train_dataset=rows_of(place, "rows").select_columns(["input_ids", "labels"]),
            processing_class=PreTrainedTokenizerFast(tokenizer_object=_coder(), **_ENDS),
            callbacks=[Note()],
        ).train()
        yield form


WAYS: dict[str, Callable[[Path], Iterator[str]]] = {
    "bare": bare,
    "ours": ours,
    "ours_auto": lambda place: ours(place, "auto"),
    "trl": trl,
}


def begin_as_stage(module: str) -> None:
    """Have the process that runs `module` begin as a stage does: by the environment that it fixes, with fewer imports.

    Where the environment is another one, `module` begins again.
    """
    if any(os.environ.get(name) != value for name, value in FIXED.items()):
        os.environ.update(FIXED)
        os.execv(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]])
    collect_seldom()
    spare_transformers()


def main() -> None:
    """One way, in this process."""
    way, place = sys.argv[1], Path(sys.argv[2])
    if way.startswith("ours"):
        begin_as_stage("benchmarks.trainings")
    measured: dict[str, Any] = {"seconds": {}, "processor": {}}
    if way == "make":
        measured = make(place, *map(int, sys.argv[3:]))
    else:
        for form in WAYS[way](place):
            measured.setdefault("first", STEPS[1][0])
            measured.setdefault("first_processor", STEPS[1][1])
            for column, name in enumerate(("seconds", "processor")):
                measured[name][form] = STEPS[-1][column] - STEPS[0][column]
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
