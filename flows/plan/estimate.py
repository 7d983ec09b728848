"""What the settings ask of this machine, before anything runs: steps and tokens, disk of all stages, least memory."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from flows.params.model import Params, model
from flows.system.process import ask
from flows.system.resources import available_memory, card_memory
from tasks.base.ready import form, is_model
from tasks.core.numbers import counted, duration, shown, storage
from tasks.core.paths import Paths
from tasks.core.settings import PARAMS, load
from tasks.memory.cluster import parse
from tasks.models.record import DERIVED
from tasks.stages import stages
from tasks.training import estimate, usage
from tasks.training.methods import METHODS
from tasks.training.schedule import resolved
from tasks.training.settings import Optimization


def lines() -> tuple[list[str], list[str]]:
    """What a run takes, a line each; and what of it is not there, each a sentence. Empty before there is a base."""
    params, paths = load(model(), Path(PARAMS)), Paths()
    folder = _base(params, paths)
    try:
        base = estimate.read_shapes(folder) if folder else {}
    except SafetensorError:  # the stage base says what is wrong with it
        return [], []
    if not base:
        return [], []
    report = [_steps(params, paths)]
    disk = disk_needed(base, params)
    most, free = sum(disk.values()), shutil.disk_usage(Path()).free
    report.append(f"disk: {storage(most)} ({', '.join(f'{name} {storage(size)}' for name, size in disk.items())})")
    report[-1] += f"; {storage(free)} are free"
    memory, free_on_card = _memory(base, params), card_memory()
    available, where = (available_memory(), "") if free_on_card is None else (free_on_card, " on the card")
    report.append(f"memory: {storage(memory)} for weights, gradients and optimiser")
    report[-1] += f"; {storage(available)} are available{where}"
    report += _asked(params, paths)
    report.append(f"time: {'; '.join(_times(params, paths)) or 'nothing is trained'}")
    faults = []
    if most > free:
        faults.append(f"{report[1]}. Free some space, or {_cheaper_disk(disk, params)}.")
    if memory > available:
        faults.append(f"{report[2]}. {_less_memory(params, where)}")
    return report, faults


def card(size: str, ram: str = "") -> tuple[list[str], list[str]]:
    """What training takes on cards of `size` ("": the ones here), a line each; and what does not fit.

    `size`: such as 24GB, or 80GB x 8. `ram`: memory of each host, where offload shall be priced too.
    Raises `SettingsError` where `size` is none.
    """
    if size:
        parse(size)  # the process that knows what training takes loads torch first
    answer = ask("tasks.memory.card", size, ram)
    return [line for line in answer.lines if line], [str(error) for error in answer.errors]


def probe_faults() -> list[str]:
    """Train some steps to know how long all will take; where that fails, why."""
    return [str(error) for error in ask("tasks.train.probe").errors]


def actual_usage(stages: Iterable[str]) -> list[dict[str, Any]]:
    """What the last training of `stages` was foretold to take, and what it took, a line for each amount."""
    lines = []
    for stage in stages:
        if not (record := usage.load(Paths(), stage)):
            continue
        formats: dict[str, Callable[[Any], str]] = {"memory": storage, "disk": storage, "time": duration}
        if price := load(model(), Path(PARAMS)).machine.price:
            formats["cost"] = partial(_cost, price)
        for name, show in formats.items():
            key = name if name in ("memory", "disk") else "seconds"
            before, after = record["foretold"][key], record["used"][key]
            lines.append(
                {
                    "stage": stage,
                    "of": name,
                    "foretold": show(before) if before else "",
                    "took": show(after) if after else "",
                    "difference": f"{before / after - 1:+.0%}" if before and after else "",
                }
            )
    return lines


def _times(params: Params, paths: Paths) -> Iterator[str]:
    trainings: dict[str, Optimization] = {"train": params.train} if params.train.enabled else {}
    if params.align.objective != "off":
        trainings["align"] = params.align
    for what, settings in trainings.items():
        seconds = usage.estimate_seconds(paths, what, settings)
        if seconds is None:
            way = "; run temper check --time to measure it" if what == "train" else ""
            yield f"{what} unknown before its first steps{way}"
        else:
            price = params.machine.price
            cost = f", {_cost(price, seconds)} at {shown(price)} an hour" if price else ""
            yield f"{what} about {duration(seconds)}{cost}, judging by similar steps on this machine"


def _asked(params: Params, paths: Paths) -> Iterator[str]:
    """What a teacher is asked about the rows, and what that costs at most, once there are rows."""
    if not params.distill.splits:
        return
    from tasks.distill.price import price

    for split in params.distill.splits:
        if params.distill.teacher and (file := paths.tokens(split)).is_file():
            asked = price(params.distill.teacher, file, params.distill.form)
            tokens, rows = counted(asked.tokens, "tokens"), counted(asked.rows, "rows")
            yield f"distill {split}: {tokens} of {rows} for the teacher, {shown(asked.cost)} at most, paid once"


def _cost(price: float, seconds: float) -> str:
    return f"{seconds / 3600 * price:.2f}"


def disk_needed(base: estimate.Base, params: Params) -> dict[str, int]:
    """Bytes of disk by what they are for; `cache`: what DVC holds once more, where the disk cannot share blocks."""
    sizes = {stage.name: stage.size(params, base) for stage in stages() if stage.size}
    results = {name: size.result for name, size in sizes.items() if size.result}
    return {"checkpoints": max(size.scratch for size in sizes.values()), **results, "cache": sum(results.values())}


def _memory(base: estimate.Base, params: Params) -> int:
    return max(ask(params, base) for stage in stages() if (ask := stage.resources.memory))


def _less_memory(params: Params, where: str) -> str:
    """What to change; nothing that is set already."""
    larger = "use a larger GPU" if where else "use a machine with more"
    if params.train.enabled and METHODS[params.train.method].kind is None:
        return f"Set train.method to lora or qlora, or {larger}."
    if params.train.enabled and not params.train.quantized:
        return f"Set train.method to qlora, or {larger}."
    return f"Choose a smaller base, or {larger}."


def _steps(params: Params, paths: Paths) -> str:
    train = params.train
    batch = train.batch_size * train.gradient_accumulation
    unit = "packs" if params.template.packing else "rows"
    if train.steps is None and (items := estimate.items(paths.audit)):
        train = resolved("train", train, items)
    asked = f"{shown(train.epochs)} {'epoch' if train.epochs == 1 else 'epochs'}" if train.epochs else ""
    text = f"train: {asked}, in steps of {batch} {unit}"
    if train.steps is not None:
        text = f"train: {counted(train.steps, 'steps')} of {counted(batch, unit)}" + (f", {asked}" if asked else "")
    if rows := estimate.rows(paths.audit):
        epochs = (
            ""
            if unit == "packs" or train.epochs or train.steps is None
            else f", {train.steps * batch / rows['rows']:.1f} epochs"
        )
        tokens, learned = (f"{rows[name]:,}" for name in ("tokens", "supervised_tokens"))
        text += f"{epochs} of {counted(rows['rows'], 'rows')} with {tokens} tokens, {learned} with a loss"
    return text


def _base(params: Params, paths: Paths) -> Path | None:
    """The folder of the base that a run will take; None where it is not made, or not here, yet."""
    local = Path(params.base.folder)
    if not params.base.hub and is_model(local) and not form(local):
        return local
    try:
        record = json.loads((paths.base / "base.json").read_text())
    except (OSError, ValueError):
        return None
    if record["kind"] == "hub":
        return None
    return paths.base / record["location"] if record["kind"] in DERIVED else Path(record["location"])


def _cheaper_disk(disk: dict[str, int], params: Params) -> str:
    largest = max((name for name in disk if name != "cache"), key=lambda name: disk[name])
    if largest == "checkpoints" and params.train.method == "full":
        return "set train.method to lora, or train.optimizer to adafactor"
    return "set merge.dtype to bfloat16" if largest in ("merge", "train") else "name fewer quantize.schemes"
