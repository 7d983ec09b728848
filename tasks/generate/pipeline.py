"""The distilabel pipeline, run by the stage as a child: `python -m tasks.generate.pipeline WORK`.

In: `WORK/order.json` (seed, system, teacher, instructions). Out: `WORK/answers.json`, a list with one text or null for
each instruction. Nothing is cached, nothing outside WORK is written, and no process outlives its parent.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tasks.contract.files import write_json

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Die when the parent does, and let every process forked from here do the same."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.register_at_fork(after_in_child=lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))


def run(order: dict[str, Any], work: Path) -> list[str | None]:
    """Let the teacher answer `order["instructions"]`; return the answers in their order."""
    from distilabel.pipeline import Pipeline
    from distilabel.steps.generators.data import LoadDataFromDicts
    from distilabel.steps.tasks.text_generation import TextGeneration

    from tasks.generate import Teacher
    from tasks.generate.teacher import teacher

    rows = [{"place": place, "instruction": text} for place, text in enumerate(order["instructions"])]
    with Pipeline(name="generate", cache_dir=work / "cache", enable_metadata=False) as pipeline:
        instructions = LoadDataFromDicts(name="instructions", data=rows, batch_size=order["batch_size"])
        answering = TextGeneration(
            name="answers",
            llm=teacher(Teacher.model_validate(order["teacher"]), order["seed"]),
            system_prompt=order["system"],
            input_batch_size=order["batch_size"],
            add_raw_output=False,
            add_raw_input=False,
        )
        instructions >> answering
    distiset = pipeline.run(use_cache=False)
    answers: list[str | None] = [None] * len(rows)
    for row in distiset["default"]["train"]:
        answers[row["place"]] = row["generation"]
    return answers


if __name__ == "__main__":
    end_with_parent()
    folder = Path(sys.argv[1])
    answers = run(json.loads((folder / "order.json").read_text(encoding="utf-8")), folder)
    write_json(folder / "answers.json", answers)
