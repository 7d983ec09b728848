"""The steps of the benchmark, in their order: each may need others, and has seconds of its own."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.project import Clock, Project, measured
from benchmarks.gpu.sizes import Size

Facts = dict[str, Any]
"""What a step measured; the table shows what it knows of."""


class Bench:
    """Projects in the folder `place`: `rows`, whose rows others take over, `packs`, `mixture` and `states`."""

    def __init__(self, place: Path, size: Size, clock: Clock, cpu: bool) -> None:
        self.place, self.size, self.clock, self.cpu = place, size, clock, cpu
        self._projects: dict[str, Project] = {}

    def project(self, name: str) -> Project:
        """The project `name`, with rows up to the stage template."""
        if name in self._projects:
            return self._projects[name]
        model = self.place / "models" / (name if name in ("mixture", "states") else "llama")
        project = Project(self.place / name, model, self.clock, self._settings(name), self.cpu)
        shutil.copytree(self.place / "guides", project.paths.guides)
        project.stage("base")
        if name == "rows":
            project.root.joinpath("texts").symlink_to(self.place / "texts")
            project.stage("clean")
        else:
            shutil.copytree(self.project("rows").paths.clean, project.paths.clean)
        project.stage("template")
        self._projects[name] = project
        return project

    def _settings(self, name: str) -> dict[str, Any]:
        size = self.size
        passes = {
            "batch_size": size.batch, "warmup_steps": 2, "logging_steps": 5, "checkpoint_steps": 10_000,
            "eval_steps": 10_000, "threads": 1,
        }  # fmt: skip
        return {
            "base": {"folder": "model"},
            "clean": {"input": "texts", "validation_share": 0.05, "test_share": 0.05, "max_loss": 0.5},
            "template": {"packing": name == "packs", "over_length": "drop", "max_loss": 0.5},
            "train": {**passes, "epochs": 1, "learning_rate": 2e-3},
            "align": {**passes, "steps": 8, "learning_rate": 1e-4},
            "merge": {"probes": 4},
            "quantize": {"probes": 4, "min_same_stops": 0.0, "max_divergence": 20.0},
            "evaluate": {"limit": 16, "batch_size": 8, "max_new_tokens": size.answer_tokens},
        }


@dataclass(frozen=True)
class Step:
    """Something that is measured."""

    name: str
    run: Callable[[Bench], Facts]
    seconds: int
    needs: tuple[str, ...] = ()
    """Steps that have to have worked."""


def _make(bench: Bench) -> Facts:
    measured(bench.clock, bench.place, "make", json.dumps(asdict(bench.size)), cpu=bench.cpu)
    return {"remark": f"{bench.project('rows').tokens()} tokens in rows"}


def _train(name: str, **settings: Any) -> Callable[[Bench], Facts]:
    def run(bench: Bench) -> Facts:
        project = bench.project(name)
        facts = project.trained("train", project.paths.fitted, **settings)
        recorded = json.loads((project.paths.fitted / "training.json").read_text())
        facts["remark"] = f"{recorded['dtype']}, attention {recorded['attention']}, {recorded['steps']} steps"
        if seconds := facts["training_seconds"]:
            facts["tokens_a_second"] = round(project.tokens() / seconds)
        return facts

    return run


def _align(**settings: Any) -> Callable[[Bench], Facts]:
    def run(bench: Bench) -> Facts:
        project = bench.project("rows")
        return project.trained("align", project.paths.aligned, start="base", **settings)

    return run


def _bare(form: str) -> Callable[[Bench], Facts]:
    def run(bench: Bench) -> Facts:
        bench.project(form)
        return measured(bench.clock, bench.place, "bare", form, str(bench.size.batch), cpu=bench.cpu)

    return run


def _stage(name: str, item: str = "") -> Callable[[Bench], Facts]:
    def run(bench: Bench) -> Facts:
        bench.project("rows").stage(name, item)
        return {}

    return run


def _evaluate(candidate: str) -> Callable[[Bench], Facts]:
    def run(bench: Bench) -> Facts:
        project = bench.project("rows")
        project.stage("evaluate", candidate)
        scores = json.loads((project.paths.data / "evaluation" / candidate / "scores.json").read_text())
        return {"remark": f"{scores['cut']} answers cut, {scores['empty']} empty"}

    return run


GRPO: Facts = {
    "objective": "grpo", "rewards": [{"kind": "function", "name": "taste.py:taste"}], "answers": 4, "answer_tokens": 16,
}  # fmt: skip

STEPS = (
    Step("models and rows", _make, 120),
    Step("lora", _train("rows"), 120, ("models and rows",)),
    Step("merge", _stage("merge"), 60, ("lora",)),
    Step("evaluate base", _evaluate("base"), 60, ("models and rows",)),
    Step("evaluate merged", _evaluate("merged"), 60, ("merge",)),
    Step("quantize nf4", _stage("quantize", "nf4"), 60, ("merge",)),
    Step("quantize int8", _stage("quantize", "int8"), 60, ("merge",)),
    Step("bare loop", _bare("rows"), 90, ("models and rows",)),
    Step("lora, packs", _train("packs"), 120, ("models and rows",)),
    Step("bare loop, packs", _bare("packs"), 90, ("models and rows",)),
    Step("qlora", _train("rows", method="qlora"), 120, ("models and rows",)),
    Step("full", _train("rows", method="full", learning_rate=1e-4), 120, ("models and rows",)),
    Step("dpo", _align(objective="dpo"), 120, ("models and rows",)),
    Step("grpo", _align(**GRPO), 150, ("models and rows",)),
    Step("mixture of experts, lora", _train("mixture"), 120, ("models and rows",)),
    Step("state space, lora", _train("states"), 120, ("models and rows",)),
)
"""What a user does with a card, the most usual first."""

BARE = {"lora": "bare loop", "lora, packs": "bare loop, packs"}
"""With what a step's tokens a second are compared."""


def chosen(names: list[str]) -> list[Step]:
    """The steps of those names with what they need, in order; all where there is no name."""
    wanted = set(names or (step.name for step in STEPS))
    for step in reversed(STEPS):
        if step.name in wanted:
            wanted |= set(step.needs)
    return [step for step in STEPS if step.name in wanted]
