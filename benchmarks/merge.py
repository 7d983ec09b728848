"""`merge`: a random Llama in shards and its adapter to a merged folder, against copying the bytes and against peft.

Each way runs in a process of its own, a few times in turn; memory is the peak beyond what the imports take. The model
of the default configuration has 1 GB in 5 shards.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.child import measured
from benchmarks.result import Result
from benchmarks.sharded import peak, random_llama

GOAL = 1.5
"""Seconds of merging for each second of copying."""

BEYOND = 300 * 2**20
"""Bytes that merging may take beyond the largest shard and the adapter."""

ROUNDS = {"small": 1, "default": 3}

WAYS = ("copy", "temper", "peft")


def measure(full: bool) -> Result:
    """Ways in turn on one model; then every tensor of temper's is compared with peft's."""
    configuration = "default" if full else "small"
    with TemporaryDirectory(prefix="temper-", dir=os.environ.get("TEMPER_BENCH")) as folder:
        place = Path(folder)
        measured("benchmarks.merge", "make", place, configuration)
        rounds: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS[configuration]):
            for way in WAYS:
                rounds[way].append(measured("benchmarks.merge", way, place, configuration))
        same = measured("benchmarks.merge", "compare", place, configuration)["different"] == 0
        shard = max(file.stat().st_size for file in (place / "base").glob("*.safetensors"))
        adapter = (place / "adapter" / "adapter_model.safetensors").stat().st_size
        shards = len(list((place / "base").glob("*.safetensors")))
        size = sum(file.stat().st_size for file in (place / "base").glob("*.safetensors"))
    seconds = {way: median(run["seconds"] for run in runs) for way, runs in rounds.items()}
    peak = {way: max(run["peak"] for run in runs) for way, runs in rounds.items()}
    limit = shard + adapter + BEYOND
    ratio = seconds["temper"] / seconds["copy"]
    detail = {
        "configuration": configuration,
        "megabytes": round(size / 1e6),
        "shards": shards,
        "seconds": {way: round(value, 2) for way, value in seconds.items()},
        "peak_mib_beyond_imports": {way: round(value / 2**20) for way, value in peak.items()},
        "peak_limit_mib": round(limit / 2**20),
        "same_tensors_as_peft": same,
    }
    return Result(
        "merge", round(ratio, 3), "x copying", GOAL, ratio <= GOAL and peak["temper"] <= limit and same, detail
    )


def _make(place: Path, configuration: str) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    model, shard = random_llama(configuration)
    model.save_pretrained(place / "base", max_shard_size=shard)
    tuned = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.01)
    tuned.save_pretrained(place / "adapter")


def _copy(place: Path) -> None:
    for file in sorted((place / "base").glob("*.safetensors")):
        with file.open("rb", buffering=0) as source, (place / "copy" / file.name).open("wb", buffering=0) as target:
            while piece := source.read(4 * 2**20):
                target.write(piece)
            os.fsync(target.fileno())


def _temper(place: Path) -> None:
    from tasks.merge.adapter import read
    from tasks.merge.trained import Layerwise, MergeOptions

    Layerwise(
        place / "base", read(place / "adapter", {"sha256": "", "location": ""}), place, MergeOptions()
    ).write_weights(None, place / "temper")


def _peft(place: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(place / "base", dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, place / "adapter").merge_and_unload()
    merged.bfloat16().save_pretrained(place / "peft", max_shard_size="210MB")


def _compare(place: Path) -> int:
    import torch

    from tasks.models.shards import stored_tensors

    ours, theirs = stored_tensors(place / "temper"), stored_tensors(place / "peft")
    names = set(ours) | set(theirs)
    return sum(
        name not in ours or name not in theirs or not torch.equal(ours[name].read(), theirs[name].read())
        for name in names
    )


def main() -> None:
    """One way, in this process; the last line says seconds and peak."""
    way, place, configuration = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if way == "make":
        _make(place, configuration)
        print(json.dumps({}))
        return
    if way == "compare":
        print(json.dumps({"different": _compare(place)}))
        return
    import accelerate  # noqa: F401 - what every way would import is not counted
    import peft  # noqa: F401
    import torch
    from transformers import LlamaForCausalLM  # noqa: F401

    torch.set_num_threads(1)
    shutil.rmtree(place / way, ignore_errors=True)
    (place / way).mkdir()
    Path("/proc/self/clear_refs").write_text("5")
    before, start = peak(), time.perf_counter()
    {"copy": _copy, "temper": _temper, "peft": _peft}[way](place)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak() - before}))


if __name__ == "__main__":
    main()
