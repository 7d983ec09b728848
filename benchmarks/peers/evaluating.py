"""A way of evaluating by another project: `python -m benchmarks.peers.evaluating PLACE`, in lighteval's environment.

PLACE is one that `python -m benchmarks.evaluate make PLACE ITEMS` made: questions, choices and answers are those that
temper, lm-eval and the loop take there. Prints seconds of processors and answers of each task; loading is not counted.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.evaluate import ROWS, TASKS, TOKENS


def main(place: Path) -> None:
    """Both tasks, one after the other, on one thread as the other ways."""
    import torch
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.transformers.transformers_model import TransformersModel, TransformersModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

    torch.set_num_threads(1)
    os.chdir(place)  # what it answered is kept below cache_dir by the model's relative path
    config = TransformersModelConfig(
        model_name="model", batch_size=ROWS, max_length=512, dtype="float32", device="cpu",
        model_parallel=False, override_chat_template=False, add_special_tokens=False,
        cache_dir=str(place / "lighteval"),
    )  # fmt: skip
    result: dict[str, Any] = {}
    for task in TASKS:
        pipeline = Pipeline(
            tasks=f"{task}|0",
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE, custom_tasks_directory=str(_tasks(place)), bootstrap_iters=0
            ),
            evaluation_tracker=EvaluationTracker(output_dir=str(place / "lighteval")),
            model=TransformersModel(config),  # it is gone after one task
        )
        start, clock = time.process_time(), time.perf_counter()
        pipeline.evaluate()
        seconds = {"seconds": time.perf_counter() - clock, "processor": time.process_time() - start}
        (rows,) = pipeline.get_details().values()
        rows = sorted(rows, key=lambda row: int(row.doc.id))
        result[task] = {**seconds, "answers": [_answer(task, row.model_response) for row in rows]}
    print(json.dumps(result))


def _answer(task: str, response: Any) -> Any:
    """The text, or the number of the choice."""
    return response.text[0] if task == "answer" else max(range(4), key=response.logprobs.__getitem__)


def _tasks(place: Path) -> Path:
    """A module that defines the two tasks, as it asks for it."""
    path = place / "lighteval_tasks.py"
    path.write_text(f"""
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def choose(line, name):
    choices = [" " + choice for choice in line["choices"]]
    return Doc(task_name=name, query=line["question"], choices=choices, gold_index=0)


def answer(line, name):
    return Doc(task_name=name, query=line["question"], choices=["docker"], gold_index=0)


SHARED = dict(
    hf_repo={str(place / "tasks")!r}, hf_subset="default", hf_avail_splits=["train"], evaluation_splits=["train"]
)
TASKS_TABLE = [
    LightevalTaskConfig(name="choose", prompt_function=choose, metrics=[Metrics.loglikelihood_acc], **SHARED),
    LightevalTaskConfig(
        name="answer", prompt_function=answer, metrics=[Metrics.exact_match], generation_size={TOKENS},
        stop_sequence=["\\n\\n"], **SHARED,
    ),
]
""")
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
