"""The distilabel pipeline, run by the stage as a child: `python -m tasks.generate.pipeline WORK`.

In: `WORK/order.json` (recipe's settings, which rows) and `WORK/order.jsonl`. Out: `WORK/answers.jsonl`, what the
pipeline made of the rows, in their order; `WORK/ending` appears before its steps are ended. distilabel caches nothing,
nothing outside WORK is written, and no process outlives its parent.
"""

import ctypes
import json
import os
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.core.files import written
from tasks.core.imports import collect_seldom
from tasks.core.reporting import guarded

PR_SET_PDEATHSIG = 1

ANSWERS, ENDING = "answers.jsonl", "ending"

LARGE = 64
"""Rows that a step gets at a time for each request at once: a batch ends with its slowest answer, so few of them."""


def end_with_parent() -> None:
    """Die when the parent does, and let every process forked from here do the same."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.register_at_fork(after_in_child=lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


def run(order: dict[str, Any], work: Path) -> None:
    """Let the recipe's pipeline work on rows `start` to `stop` of the order."""
    from tasks.generate.private_distilabel import pipeline_class

    distilabel_pipeline = pipeline_class()  # before anything else of distilabel
    from distilabel.steps.generators.data import LoadDataFromDicts

    from tasks.generate.recipes import load_recipe
    from tasks.generate.settings import Settings
    from tasks.teacher.settings import Teacher

    settings = Settings.model_validate(order["settings"])
    with (work / "order.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, order["start"], order["stop"])]
    at_once = settings.teacher.concurrency if settings.teacher.kind in ("openai", "huggingface") else 0
    batch = max(settings.batch_size, LARGE * at_once)

    def teacher(who: Teacher | None = None) -> Any:
        who = who or settings.teacher
        if who.kind == "program":
            from tasks.generate.teacher.program import ProgramTeacher

            return ProgramTeacher(seed=order["input"])
        from tasks.generate.teacher.model import CachedTeacher

        where = {name: order[name] for name in ("run", "attempt", "address", "root") if name in order}
        return CachedTeacher(settings=who, budget=settings.budget, work=str(work), **where)

    class Announced(distilabel_pipeline):  # type: ignore[misc,valid-type]
        """Says that its steps are about to go because all is done, so that one that goes before was killed."""

        def _teardown(self) -> None:
            (work / ENDING).touch()
            super()._teardown()

    with Announced(name="generate", cache_dir=work / "cache", enable_metadata=False) as pipeline:
        first = LoadDataFromDicts(name="rows", data=rows, batch_size=batch)
        load_recipe(settings.recipe).build(settings, first, teacher, batch)
    # A local model is in memory once: one step after the other.
    groups = "sequential_step_execution" if settings.teacher.kind == "local" else None
    answers = pipeline.run(use_cache=False, **({"load_groups": groups} if groups else {}))
    with written(work / ANSWERS) as aside, aside.open("w", encoding="utf-8") as file:
        for row in sorted(answers, key=lambda row: (row["place"], row.get("slot", 0))):
            row.pop("distilabel_metadata", None)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    end_with_parent()
    collect_seldom()
    folder = Path(sys.argv[1])
    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    sys.exit(guarded("generate", lambda: run(order, folder), values=lambda: dict(order["settings"])))
