"""One training whose memory is estimated and then measured, in a process of its own: the last line has both, as JSON.

    python -m benchmarks.estimated METHOD FORM LENGTH BATCH WIDTH LAYERS [checkpointed]

FORM: rows or packs. The model is a random Llama, stored in bfloat16. What training takes is the weights and the most
that PyTorch's profiler saw allocated at one time besides, in two steps: in the second there are optimiser states while
a pass goes. The process's own peak is beside it, less what it held before the model.
"""

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

VOCABULARY = 32_000
STEPS = 2


def main() -> None:
    """Train; see the module's docstring."""
    warnings.simplefilter("ignore")
    method, form, *numbers = sys.argv[1:7]
    length, lines, width, layers = map(int, numbers)
    checkpointed = sys.argv[7:] == ["checkpointed"]
    import bitsandbytes  # noqa: F401
    import psutil
    from torch.profiler import ProfilerActivity, profile
    from transformers import AutoConfig

    from tasks.memory.passes import batch_of
    from tasks.memory.price import price
    from tasks.models.tuning import load
    from tasks.train.settings import Settings
    from tasks.training import loop, memory_estimate
    from tasks.training.adapters import attach
    from tasks.training.trainer import fit

    module: Any = memory_estimate
    module.measure_pass = lambda *_: memory_estimate.in_use()  # it would train twice more
    settings = Settings.model_validate(
        {"method": method, "steps": STEPS, "batch_size": lines, "checkpoint_steps": STEPS + 1, "lora": {"r": 16},
         "padding_free": False, "warmup_steps": 0, "threads": 1, "learning_rate": 1e-3,
         "gradient_checkpointing": checkpointed}
    )  # fmt: skip
    with TemporaryDirectory(prefix="temper-") as name:
        folder = Path(name)
        save_base(folder / "base", width, layers)
        loop.prepare(settings)
        tokenizer = word_tokenizer()
        rows = _rows(length, lines, form == "packs")
        start = psutil.Process().memory_info().rss
        model = load(folder / "base", settings, settings)
        model = attach("train", settings, model, rows, folder, False)
        weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        recorder: Any = profile
        with recorder(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            result = fit("train", model, tokenizer, rows, settings, folder / "scratch")
        taken, process = weights + _allocated(profiler, folder / "trace.json"), _most() - start
        config = AutoConfig.from_pretrained(folder / "base")
    bfloat16 = result.facts["dtype"] == "bfloat16"
    batch = batch_of(settings, length, length - 1, packed=form == "packs", card=False)
    estimated = price("train", config, settings, settings, batch, bfloat16=bfloat16, card=False)
    parts = {**asdict(estimated), "overhead": 0}
    print(json.dumps({"taken": taken, "process": process, "estimated": sum(parts.values()), "parts": parts}))


def save_base(folder: Path, width: int, layers: int) -> None:
    """Save a random Llama with tied embeddings in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=width * 11 // 4, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=width // 128, max_position_embeddings=8192,
        tie_word_embeddings=True, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def word_tokenizer() -> Any:
    """A tokenizer whose words are the numbers of its tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({str(number): number for number in range(VOCABULARY)}, unk_token="0")
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), pad_token="0", eos_token="1")


def _rows(length: int, lines: int, packed: bool) -> Any:
    """Rows of `length` tokens, all with a loss, for all steps; or packs of so many tokens, each of four rows."""
    import numpy as np
    from datasets import Dataset

    parts, count = (4, lines * STEPS) if packed else (1, lines * STEPS)
    drawn = np.random.default_rng(0).integers(2, VOCABULARY, (count * parts, length // parts)).astype(np.int32)
    columns: dict[str, Any] = {"input_ids": list(drawn), "labels": list(drawn)}
    if packed:
        columns["pack"] = np.repeat(np.arange(count), parts)
    return Dataset.from_dict(columns)


def _allocated(profiler: Any, trace: Path) -> int:
    """The most bytes allocated at one time while `profiler` ran, above those at its start."""
    profiler.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    sizes = [event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]"]
    return int(max(sizes) - sizes[0])


def _most() -> int:
    """The most bytes that this process has held."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
