"""Every method, optimiser and objective tried on a tiny model; `python -m tests.tasks.support [NAME]` writes the page.

Each trial trains, sees the loss fall, saves, loads back and compares logits, and is then killed and continued to the
same bytes. docs/training-methods.md is made of the results and of the reasons of what is refused.
"""

import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.align import stage as alignment
from tasks.align.not_offered import NOT_OFFERED
from tasks.align.objectives import OBJECTIVES
from tasks.align.settings import Settings as Alignment
from tasks.core.errors import TemperError
from tasks.core.files import sha256, write_text
from tasks.core.paths import Paths
from tasks.distill import stage as distill
from tasks.models.loading import keep_packing
from tasks.models.record import base_folder
from tasks.template import stage as template
from tasks.train import run
from tasks.train.settings import Settings
from tasks.training import methods, optimizers
from tasks.training.tuning_settings import Tuning
from tests.tasks import tiny

PAGE = Path("docs/training-methods.md")

EXACT = 1e-4
"""Largest difference of a logit between what was trained and what loads back."""

COMMON: dict[str, Any] = {
    "batch_size": 4, "learning_rate": 1e-2, "warmup_steps": 1, "threads": 1, "logging_steps": 1, "eval_steps": 99,
    "checkpoint_steps": 3, "steps": 8, "dtype": "float32",
}  # fmt: skip

FIELDS: dict[str, dict[str, Any]] = {
    "vblora": {"vector_length": 32, "num_vectors": 16, "r": 4},
    "fourierft": {"n_frequency": 200, "scaling": 20},
    "waveft": {"n_frequency": 200},
    "c3a": {"block_size": 32},
    "p_tuning": {"encoder_hidden_size": 32},
    "road": {"group_size": 32},
    "shira": {"r": 8},
    "trainable_tokens": {"token_indices": [3, 4, 5, 6, 7, 8, 9, 10]},
}
"""Fields that a model 64 wide needs, where peft's defaults are for large ones."""


@dataclass(frozen=True)
class Case:
    """One thing to try: a line of the page."""

    part: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What came out of a trial."""

    part: str
    name: str
    works: bool
    limits: str
    first: float | None = None
    last: float | None = None
    trainable: int | None = None


def cases() -> list[Case]:
    """Everything that is offered."""
    listed = [Case("method", name, {"method": name, "peft": FIELDS.get(name, {})}) for name in methods.METHODS]
    listed += [
        Case("quantised base", f"{name} on {scheme}", {"method": name, "quantization": scheme})
        for name in ("lora", "dora", "ia3", "oft", "miss", "vera", "prompt_tuning", "ln_tuning")
        for scheme in ("nf4", "int8")
        if (name, scheme) != ("dora", "int8")
    ]
    listed += [
        Case("optimiser", name, {"method": "full", "optimizer": name, "learning_rate": 5e-3})
        for name in optimizers.OPTIMIZERS
    ]
    listed += [Case("schedule", name, {"scheduler": name, **_schedule(name)}) for name in optimizers.SCHEDULERS]
    listed += [
        Case("trick", "NEFTune", {"neftune": 5}),
        Case("trick", "bfloat16", {"dtype": "bfloat16"}),
        Case("trick", "gradient checkpointing", {"gradient_checkpointing": True}),
        Case("trick", "two data workers", {"arguments": {"dataloader_num_workers": 2}}),
        Case("trick", "gradient accumulation", {"batch_size": 2, "gradient_accumulation": 2}),
        Case("trick", "dynamic fine-tuning (DFT)", {"arguments": {"loss_type": "dft"}}),
        Case("trick", "label smoothing", {"arguments": {"label_smoothing_factor": 0.1}}),
        Case("trick", "early stopping", {"patience": 2, "eval_steps": 2}),
    ]
    for objective in ("dpo", "kto", "orpo", "cpo", "simpo", "reward"):  # on answers that are given
        for loss in OBJECTIVES[objective].losses or ("",):
            further: dict[str, Any] = {"loss_type": loss} if loss else {}
            if loss == "exo_pair":
                further["label_smoothing"] = 1e-3
            listed.append(
                Case("objective", f"{objective} {loss}".strip(), {"objective": objective, "arguments": further})
            )
    taste = {"rewards": [{"kind": "function", "name": "taste.py:taste"}]}
    several = {"steps": 12, "batch_size": 64, "answers": 8, "answer_tokens": 3, "learning_rate": 3e-2}
    listed += [
        Case("objective", f"grpo {loss}", {"objective": "grpo", **several, **taste, "arguments": {"loss_type": loss}})
        for loss in OBJECTIVES["grpo"].losses
    ]
    listed.append(Case("objective", "gmpo", {"objective": "gmpo", **several, **taste}))
    liked = {"rewards": [{"kind": "model", "name": "liked"}]}
    listed += [
        Case(
            "objective", name, {"objective": "rloo", **several, **rewards, "arguments": {"normalize_advantages": True}}
        )
        for name, rewards in (("rloo", taste), ("rloo, rewarded by a model", liked))
    ]
    single = {"num_iterations": 1, "value_learning_rate": 1e-3, "beta": 0.01}
    listed += [
        Case("objective", name, {"objective": "ppo", **several, **taste, **value, "arguments": single})
        for name, value in (("ppo", {}), ("ppo, values by a model of its own", {"value": "liked"}))
    ]
    distilled = {"objective": "gkd", "teacher": "teacher", "start": "base", "answer_tokens": 6, "batch_size": 16}
    listed += [
        Case("objective", "gkd", {**distilled, "steps": 12, "learning_rate": 5e-3, "arguments": {"lmbda": 1.0}}),
        Case("objective", "gold", {**distilled, "objective": "gold", "teacher": "other", "steps": 12}),
        Case("objective", "sdft", {**distilled, "objective": "sdft", "teacher": None, "steps": 12}),
        Case("objective", "distill", {"objective": "distill", "start": "base"}),
    ]
    listed += [
        Case(
            "objective",
            f"online_dpo {loss}",
            {"objective": "online_dpo", **several, "batch_size": 32, **taste, "arguments": {"loss_type": loss}},
        )
        for loss in OBJECTIVES["online_dpo"].losses
    ]
    return listed


def _schedule(name: str) -> dict[str, Any]:
    needed = {
        "cosine_with_min_lr": {"min_lr": 1e-4},
        "cosine_warmup_with_min_lr": {"min_lr": 1e-4},
        "warmup_stable_decay": {"num_decay_steps": 2},
    }
    return {"arguments": {"lr_scheduler_kwargs": needed[name]}} if name in needed else {}


def project(root: Path) -> Paths:
    """A project up to the stage template, with an adapter in data/trained for the objectives to go on from."""
    from tests.tasks.align.test_align import preferences

    paths = tiny.project(root)
    template.run(template.Settings(), paths)
    write_text(paths.fitted / "training.json", json.dumps({"method": "lora"}))
    preferences(paths)
    tiny.guides(paths)
    return paths


def teachers(paths: Paths) -> None:
    """Add what the objectives learn from whose teacher has other tokens, or stands on a server."""
    from tests.tasks.scoring import vllm
    from tests.tasks.teacher_server import teacher_server

    tiny.other_teacher(paths.guides / "other")
    with teacher_server(vllm(paths.guides / "teacher", tiny.tokenizer())) as server:
        teacher = {"kind": "openai", "base_url": server.base_url, "model": "t"}
        asked = distill.Settings.model_validate({"splits": ["train", "validation"], "teacher": teacher})
        for split in asked.splits:
            distill.run(asked, paths, split)


def trial(case: Case, paths: Paths, *, resumed: bool = True) -> Result:
    """Try `case` in the project `paths`; an error that temper raises on purpose is a limit, any other is a failure."""
    from tests.tasks.train.test_train import kill_and_continue

    try:
        if case.part == "objective":
            asked: Any = Alignment.model_validate({**COMMON, **case.settings})
            if asked.objective in ("gold", "distill") and not (paths.guides / "other").exists():
                teachers(paths)
            out = paths.aligned
            place = out / "reward" if asked.objective == "reward" else out
            carry_out: Any = alignment.run
        else:
            asked = Settings.model_validate({**COMMON, **case.settings})
            place = out = paths.fitted
            carry_out = run.tune
        with live(paths) as trained:
            carry_out(asked, paths)
        first = {file.name: sha256(file) for file in sorted(place.iterdir())}
        rewards = column(out / "loss.csv", "reward")
        curve, facts = rewards or column(out / "loss.csv", "loss"), tiny.read(place / "training.json")
        difference = compare(asked, paths, place, trained) if place == out else 0.0
        limits = []
        if not rewards and curve[-1] >= curve[0]:
            limits.append(f"the loss does not fall: {curve[0]:.4g} to {curve[-1]:.4g}")
        if rewards and sum(rewards[-3:]) <= sum(rewards[:3]):
            limits.append(f"the reward does not rise: {sum(rewards[:3]) / 3:.4g} to {sum(rewards[-3:]) / 3:.4g}")
        if difference > EXACT:
            limits.append(f"what loads back differs by {difference:.2g} in a logit")
        if resumed:
            kill_and_continue(lambda: carry_out(asked, paths), 4)
            if {file.name: sha256(file) for file in sorted(place.iterdir())} != first:
                limits.append("killed and continued it ends in other bytes")
        return Result(
            case.part, case.name, not limits, "; ".join(limits), curve[0], curve[-1], facts["trainable_parameters"]
        )
    except ValidationError as error:
        return Result(case.part, case.name, False, error.errors()[0]["msg"].removeprefix("Value error, "))
    except (TemperError, ValueError) as error:
        shutil.rmtree(paths.data / "scratch", ignore_errors=True)
        return Result(case.part, case.name, False, " ".join(str(error).split())[:300])


@contextmanager
def live(paths: Paths) -> Iterator[list[Any]]:
    """Catch the logits of the model as it is saved."""
    from tasks.align import run as alignment_run

    logits: list[Any] = []
    from tasks.models.tuning import save as saved

    def save(model: Any, *args: Any) -> None:
        model.eval()
        with torch.no_grad():
            logits.append(model(input_ids=probe(paths)).logits)
        saved(model, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "save", save)
        patch.setattr(alignment_run, "save", save)
        yield logits


def probe(paths: Paths) -> Any:
    """A row as the model reads it."""
    from tasks.training import rows

    return torch.tensor([rows.load(paths.templated / "train.arrow")[0]["input_ids"]])


def compare(asked: Any, paths: Paths, place: Path, trained: list[Any]) -> float:
    """Largest difference of a logit between what was trained and what loads back, in the arithmetic of training."""
    from peft import PeftModel

    adapter = (place / "adapter_config.json").is_file()
    tuning = asked if adapter and isinstance(asked, Tuning) else Tuning(method="full")
    from tasks.models.tuning import load

    model = load(base_folder(paths) if adapter else place, tuning, asked)
    keep_packing(model)
    if adapter:
        model = PeftModel.from_pretrained(model, place)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=asked.dtype == "bfloat16"):
        return float((model.eval()(input_ids=probe(paths)).logits - trained[-1]).abs().max())


def column(path: Path, name: str) -> list[float]:
    """A column of a curve, such as its losses."""
    with path.open() as file:
        return [float(point[name]) for point in csv.DictReader(file) if point.get(name)]


def refused() -> list[tuple[str, str, str]]:
    """What is refused: part, name, reason."""
    tables = {"method": methods.REFUSED, "optimiser": optimizers.REFUSED, "objective": NOT_OFFERED}
    return [(part, name, reason) for part, table in tables.items() for name, reason in table.items()]


def page(results: list[Result]) -> str:
    """The results as Markdown."""
    text = [
        "# Methods of training",
        "",
        "Made by `python -m tests.tasks.support` with the versions in requirements.lock, on a CPU: each line is a",
        "trial on a Llama of 2 layers, 64 wide, 8 steps in float32. *works*: the loss fell, the saved model loads",
        f"with the same logits (within {EXACT:g}), and a killed and resumed run ended in the same bytes. For",
        "objectives with rewards, the reward must rise in 12 steps; the columns of the loss show it. RoPE scaling",
        "belongs to the base: set `base.rope`. DFT weights a token's loss by its probability, which rises, so its",
        "loss need not fall.",
    ]
    gone = refused()
    for part in dict.fromkeys(result.part for result in results):
        head = {"method": "`train.method`", "optimiser": "`optimizer`", "schedule": "`scheduler`"}.get(part, part)
        text += ["", f"## {part.capitalize()}s", "", f"| {head} | | first loss | last loss | trainable weights |"]
        text.append("|---|---|---:|---:|---:|")
        for result in results:
            if result.part == part:
                verdict = "works" if result.works else f"works with limits: {result.limits}"
                if result.first is None:
                    verdict = f"refused: {result.limits}"
                numbers = [f"{value:.4g}" if value is not None else "" for value in (result.first, result.last)]
                weights = f"{result.trainable:,}" if result.trainable else ""
                text.append(f"| {result.name} | {verdict} | {' | '.join(numbers)} | {weights} |".replace("|  |", "| |"))
        text += [f"| {name} | refused: {reason} | | | |" for kind, name, reason in gone if kind == part]
    return "\n".join(text) + "\n"


def told(text: str) -> list[Result]:
    """The results in a page, without what is refused by name: what is not tried again stays as it is."""
    results, part, names = [], "", {case.name for case in cases()}
    for line in text.splitlines():
        if line.startswith("## "):
            part = line.removeprefix("## ").removesuffix("s").lower()
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or cells[0] not in names:
            continue
        name, verdict = cells[:2]
        first, last = (float(cell) if cell else None for cell in cells[2:4])
        limits = verdict.removeprefix("works").removeprefix(" with limits: ").removeprefix("refused: ")
        weights = int(cells[4].replace(",", "")) if cells[4] else None
        results.append(Result(part, name, verdict == "works", limits, first, last, weights))
    return results


def main(names: list[str]) -> None:
    """Try all, or what is named, and write the page; results are kept as they come, so that it can be interrupted."""
    kept = Path(tempfile.gettempdir()) / "training-methods.jsonl"
    done = {(result.part, result.name): result for result in told(PAGE.read_text()) if result.name not in names}
    if not names:
        lines = kept.read_text().splitlines() if kept.exists() else []
        done = {(result.part, result.name): result for result in (Result(**json.loads(line)) for line in lines)}
    paths, failed = project(Path(tempfile.mkdtemp())), 0
    with kept.open("a") as file:
        for case in cases():
            if (case.part, case.name) in done:
                continue
            try:
                result = trial(case, paths)
            except Exception as error:  # told, and tried again the next time
                print(f"{case}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                failed += 1
                shutil.rmtree(paths.data / "scratch", ignore_errors=True)
                continue
            done[case.part, case.name] = result
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            print(result, file=sys.stderr, flush=True)
            if case.part != "objective":
                shutil.rmtree(paths.fitted)
                tiny.adapter(paths.fitted, base_folder(paths))
                write_text(paths.fitted / "training.json", json.dumps({"method": "lora"}))
    if failed:
        raise SystemExit(f"{failed} trials failed")
    write_text(PAGE, page([done[case.part, case.name] for case in cases()]))
    kept.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
