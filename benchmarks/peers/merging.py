"""Two tuned models of one base as one: `python -m benchmarks.peers.merging WAY PLACE METHOD`, WAY temper or mergekit.

A soup (`linear`: half of each) and TIES with half of the numbers kept. Both run on one thread and write the same
shards; the last line of the output is an object with `seconds` and `peak`, bytes beyond what the imports take.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.sharded import peak, random_llama

MODELS = ("base", "one", "two")
METHODS = ("linear", "ties")
DENSITY = 0.5


def make(place: Path, configuration: str) -> None:
    """A random base, and two models that differ a little from it in every weight."""
    import torch

    model, shard = random_llama(configuration)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for name in MODELS:
        if name != "base":
            model.load_state_dict({key: value + 0.002 * torch.randn_like(value) for key, value in start.items()})
        model.save_pretrained(place / name, max_shard_size=shard)


def temper(place: Path, method: str) -> None:
    """As the stage `merge` does, without its gate."""
    import torch

    from tasks.merge.combine import Combine
    from tasks.merge.trained import Layerwise, MergeOptions

    combine = Combine.model_validate({"weights": {"trained": 0.5, "two": 0.5}, "method": method, "density": DENSITY})
    options = MergeOptions(combine=combine, models={"two": place / "two"})
    Layerwise(place / "base", None, place / "one", options).write_weights(torch.bfloat16, place / "temper")


def mergekit(place: Path, method: str) -> None:
    """Its `run_merge`; weights of ties as they are, not divided by their sum."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    parameters: dict[str, Any] = {"weight": 0.5} | ({} if method == "linear" else {"density": DENSITY})
    models = [{"model": str(place / name), "parameters": parameters} for name in ("one", "two")]
    config: dict[str, Any] = {"merge_method": method, "models": models, "dtype": "bfloat16"}
    if method != "linear":
        config |= {"base_model": str(place / "base"), "parameters": {"normalize": False}}
    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True, out_shard_size=210_000_000)
    run_merge(MergeConfiguration.model_validate(config), str(place / "mergekit"), options)


def difference(place: Path) -> dict[str, float]:
    """The largest difference of any number, and the share of numbers that differ by more than one step of bfloat16."""
    import torch
    from safetensors.torch import load_file

    def tensors(folder: Path) -> dict[str, torch.Tensor]:
        files = sorted(folder.glob("*.safetensors"))
        return {name: value.float() for file in files for name, value in load_file(file).items()}

    ours, theirs = tensors(place / "temper"), tensors(place / "mergekit")
    if set(ours) != set(theirs):
        raise SystemExit(f"names differ: {sorted(set(ours) ^ set(theirs))[:4]}")
    largest, apart, total = 0.0, 0, 0
    for name, value in ours.items():
        gap = (value - theirs[name]).abs()
        largest = max(largest, float(gap.max()))
        apart += int((gap > torch.finfo(torch.bfloat16).eps * value.abs() + 1e-8).sum())
        total += value.numel()
    return {"largest_difference": largest, "share_that_differs": apart / total}


def main() -> None:
    """One way, in this process."""
    way, place, method = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if way == "make":
        make(place, method)
        print("{}")
    elif way == "difference":
        print(json.dumps(difference(place)))
    else:
        _measure(way, place, method)


def _measure(way: str, place: Path, method: str) -> None:
    import torch
    from transformers import LlamaForCausalLM  # noqa: F401 - what every way would import is not counted

    if way == "mergekit":
        from mergekit.merge import run_merge  # noqa: F401
    else:
        from tasks.merge.trained import Layerwise  # noqa: F401
    torch.set_num_threads(1)
    shutil.rmtree(place / way, ignore_errors=True)
    (place / way).mkdir()
    Path("/proc/self/clear_refs").write_text("5")
    before, start, computed = peak(), time.perf_counter(), time.process_time()
    {"temper": temper, "mergekit": mergekit}[way](place, method)
    spent = {"seconds": time.perf_counter() - start, "processor": time.process_time() - computed}
    print(json.dumps({**spent, "peak": peak() - before}))


if __name__ == "__main__":
    main()
