"""A way of evaluating by another project: `python -m benchmarks.peers.evaluating PLACE`, in lighteval's environment.

PLACE is one that `python -m benchmarks.evaluate make PLACE ITEMS` made: questions, examples and choices are those that
temper, lm-eval and the loop take there. Prints seconds of processors and answers, as they do. Loading is not counted.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.evaluate import ROWS, TOKENS, WORK

MODULE = f"""
from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def choose(line, name):
    return Doc(task_name=name, query=line["question"], choices=[" " + text for text in line["choices"]], gold_index=0)


def answer(line, name):
    return Doc(task_name=name, query=line["question"], choices=["docker"], gold_index=0)


SHARED = dict(
    hf_repo="lighteval_rows", hf_subset="default", hf_avail_splits=["train", "test"], evaluation_splits=["test"],
    few_shots_split="train", few_shots_select="sequential",
)
TASKS_TABLE = [
    LightevalTaskConfig(name="choose", prompt_function=choose, metrics=[Metrics.loglikelihood_acc], **SHARED),
    LightevalTaskConfig(
        name="answer", prompt_function=answer, metrics=[Metrics.exact_match], generation_size={TOKENS},
        stop_sequence=["\\n\\n"], **SHARED,
    ),
]
"""
"""The two tasks, as lighteval reads them."""


def main(place: Path) -> None:
    """Each piece of work, one after the other, on one thread as the other ways."""
    cache = str(place / "cache")
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": cache}

    import torch
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.transformers.transformers_model import TransformersModel, TransformersModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

    torch.set_num_threads(1)
    os.chdir(place)  # it keeps answers below `cache_dir` by the model's path, which has to be relative for that
    Path("lighteval_tasks.py").write_text(MODULE)
    Path("lighteval_rows").mkdir(exist_ok=True)
    for name, split in (("rows", "test"), ("shots", "train")):
        shutil.copy(f"tasks/{name}.jsonl", f"lighteval_rows/{split}.jsonl")
    config = TransformersModelConfig(
        model_name="model", batch_size=ROWS, max_length=512, dtype="float32", device="cpu", cache_dir="lighteval_cache",
        model_parallel=False, override_chat_template=False, add_special_tokens=False,
    )  # fmt: skip
    measured: dict[str, Any] = {}
    for work, (task, shots) in WORK.items():
        shutil.rmtree("lighteval_cache", ignore_errors=True)
        pipeline = Pipeline(
            tasks=f"{task}|{shots}",
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE, custom_tasks_directory="lighteval_tasks.py", bootstrap_iters=0
            ),
            evaluation_tracker=EvaluationTracker(output_dir="lighteval_out"),
            model=TransformersModel(config),  # it is gone after one task
        )
        start = time.process_time()
        pipeline.evaluate()
        seconds = time.process_time() - start
        (rows,) = pipeline.get_details().values()
        rows.sort(key=lambda row: int(row.doc.id))
        measured[work] = {"seconds": seconds, "answers": [_answer(task, row.model_response) for row in rows]}
    print(json.dumps(measured))


def _answer(task: str, response: Any) -> Any:
    """The text, or the number of the choice."""
    return response.text[0] if task == "answer" else max(range(4), key=response.logprobs.__getitem__)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
