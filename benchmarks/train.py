"""`train`: tokens a second of LoRA on rows and on packs, as a share of a bare PyTorch loop on the same rows.

The bare loop is a model with peft's LoRA, torch's AdamW, batches in the order of the file, and nothing else: no log, no
check, no checkpoint. trl's own trainer, as a script of its documentation would call it, is measured beside it. All take
every row once, in alternation, in one process; the time of the first steps is left out of none.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.result import Result
from tasks.template.packing import packed

GOAL = 0.9
"""Share of the bare loop's tokens a second, at least, with rows and with packs."""

ROWS = {"small": 32, "default": 320}
BATCH = 4
CAPACITY = 512
THREADS = 2
REPEATS = {"small": 2, "default": 3}
VOCABULARY = 4096


def measure(full: bool) -> Result:
    """Rows of random lengths, log-normal about 120 tokens, of which the latter half is trained."""
    import torch

    configuration = "default" if full else "small"
    torch.set_num_threads(THREADS)
    shares, detail = {}, {"configuration": configuration, "rows": ROWS[configuration], "batch": BATCH}
    with TemporaryDirectory(prefix="temper-") as folder:
        place = Path(folder)
        write(place, ROWS[configuration])
        ways: dict[str, Callable[[], int]] = {
            "bare_rows": lambda: bare(place, "rows"),
            "ours_rows": lambda: ours(place, "rows"),
            "trl_rows": lambda: trls(place, "rows"),
            "bare_packs": lambda: bare(place, "packs"),
            "ours_packs": lambda: ours(place, "packs"),
        }
        if torch.cpu._is_avx512_bf16_supported():
            ways["ours_rows_bfloat16"] = lambda: ours(place, "rows", "bfloat16")
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(REPEATS[configuration] + 1):
            for name, way in ways.items():
                tokens, seconds = timed(way)
                if repeat:  # the first time is for caches
                    rates[name].append(tokens / seconds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        shares[name] = round(rate / medians["bare_packs" if "packs" in name else "bare_rows"], 3)
    detail |= {"tokens_a_second": {name: round(rate) for name, rate in medians.items()}, "shares": shares}
    worst = min(shares["ours_rows"], shares["ours_packs"])
    return Result("train", round(1 / worst, 3), "x the bare loop's seconds", round(1 / GOAL, 3), worst >= GOAL, detail)


def timed(way: Callable[[], int]) -> tuple[int, float]:
    """Tokens that `way` trained on, and the seconds between its first and its last step, which it notes."""
    STEPS.clear()
    tokens = way()
    return tokens, STEPS[-1] - STEPS[0]


STEPS: list[float] = []
"""When training began, and when each step ended."""


def write(place: Path, rows: int) -> None:
    """Write `rows.arrow`, `packs.arrow` and a model of 8 million weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(4.8, 0.6, rows), 8, CAPACITY).astype(int)
    ids = [random.integers(3, VOCABULARY, length, dtype=np.int32) for length in lengths]
    labels = [np.where(np.arange(len(row)) < len(row) // 2, -100, row).astype(np.int32) for row in ids]
    kind = pa.list_(pa.int32())
    table = pa.table(
        {
            "id": [str(number) for number in range(rows)],
            "input_ids": pa.array(ids, kind),
            "labels": pa.array(labels, kind),
        }
    )
    with pa.OSFile(str(place / "rows.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    schema = pa.schema([("input_ids", kind), ("labels", kind), ("pack", pa.int32())])
    with (
        pa.memory_map(str(place / "rows.arrow")) as source,
        pa.ipc.open_stream(source) as stream,
        pa.OSFile(str(place / "packs.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as out,
    ):
        for batch in packed(stream, CAPACITY):
            out.write_batch(batch.select(["input_ids", "labels", "pack"]))
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=4, tie_word_embeddings=True, bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(place / "model")


def tuned(place: Path) -> Any:
    """The model with LoRA on every linear layer but the head."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(place / "model", dtype=torch.float32)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"))


def batches(place: Path, form: str) -> Iterator[dict[str, Any]]:
    """Batches in the order of the file, filled up to the longest, as a person would write it."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from tasks.train.packs import Packs, Stacked
    from tasks.train.rows import load

    rows = load(place / f"{form}.arrow")
    items: Any = Packs(rows) if form == "packs" else rows
    for start in range(0, len(items), BATCH):
        chosen = [items[index] for index in range(start, min(start + BATCH, len(items)))]
        if form == "packs":
            yield Stacked()(chosen)
            continue
        ids, labels = (
            pad_sequence([torch.tensor(row[name]) for row in chosen], batch_first=True, padding_value=fill)
            for name, fill in (("input_ids", 0), ("labels", -100))
        )
        mask = pad_sequence([torch.ones(len(row["input_ids"])) for row in chosen], batch_first=True)
        yield {"input_ids": ids, "labels": labels, "attention_mask": mask.long()}


def bare(place: Path, form: str) -> int:
    """The loop of a few lines; how many tokens it trained on."""
    import torch

    torch.use_deterministic_algorithms(False)  # our own way turns it on
    model = tuned(place).train()
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-4)
    STEPS.append(time.perf_counter())
    for batch in batches(place, form):
        model(**batch, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        STEPS.append(time.perf_counter())
    return tokens(place)


def ours(place: Path, form: str, dtype: str = "float32") -> int:
    """What the stage `train` does with the same rows, its log and its progress included."""
    from transformers import PreTrainedTokenizerFast

    from tasks.train import trainer
    from tasks.train.rows import load
    from tasks.train.settings import Settings
    from tasks.train.trainer import fit, prepare

    rows = load(place / f"{form}.arrow")
    items = len(set(rows["pack"])) if form == "packs" else len(rows)
    settings = Settings.model_validate(
        {
            "steps": -(-items // BATCH), "batch_size": BATCH, "learning_rate": 1e-4, "warmup_steps": 1,
            "threads": THREADS, "checkpoint_steps": 10_000, "dtype": dtype,
        }
    )  # fmt: skip
    prepare(settings)
    coder = PreTrainedTokenizerFast(tokenizer_object=_coder(), **_ENDS)
    with TemporaryDirectory(prefix="temper-") as scratch, noted(trainer):
        fit("train", tuned(place), coder, rows, settings, Path(scratch))
    return tokens(place)


_ENDS = {"eos_token": "<e>", "pad_token": "<p>"}


def _coder() -> Any:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"<p>": 0, "<u>": 1, "<e>": 2}, unk_token="<u>"))


@contextmanager
def noted(room: Any) -> Iterator[None]:
    """While it lasts, the moments at which training begins and steps end are put into `STEPS`."""
    kind = room.Watch

    class Noting(kind):  # type: ignore[misc, valid-type]
        def on_train_begin(self, *given: Any, **more: Any) -> None:
            super().on_train_begin(*given, **more)
            STEPS.append(time.perf_counter())

        def on_step_end(self, *given: Any, **more: Any) -> None:
            super().on_step_end(*given, **more)
            STEPS.append(time.perf_counter())

    room.Watch = Noting
    try:
        yield
    finally:
        room.Watch = kind


def trls(place: Path, form: str) -> int:
    """trl's trainer as it comes, told only what the others are told."""
    import torch
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from tasks.train.rows import load

    class Note(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *given: Any, **more: Any) -> None:
            STEPS.append(time.perf_counter())

        on_train_begin = on_step_end

    torch.use_deterministic_algorithms(False)
    arguments = SFTConfig(
        output_dir=str(place / "trl"), per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=1e-4,
        use_cpu=True, bf16=False, save_strategy="no", disable_tqdm=True, report_to=[], max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True}, activation_checkpointing=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    SFTTrainer(
        model=tuned(place),
        args=arguments,
        train_dataset=load(place / f"{form}.arrow").select_columns(["input_ids", "labels"]),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=_coder(), **_ENDS),
        callbacks=[Note()],
    ).train()
    return tokens(place)


def tokens(place: Path) -> int:
    """Tokens in the rows."""
    from tasks.train.rows import count, load

    return count(load(place / "rows.arrow")).tokens
