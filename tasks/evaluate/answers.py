"""lm-eval on the task `held_out.yaml`: questions in, answers out, in the same order.

No answer comes from a cache: lm-eval's own know neither the model nor the generation limits, and the copy that
`datasets` makes of the questions lives in a temporary folder.
"""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tasks.contract.errors import CheckFailed
from tasks.evaluate.questions import Question, ids

TASK = Path(__file__).parent / "held_out.yaml"


class Tally:
    """Takes the place of lm-eval's cache: stores nothing, tells how many answers there are."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report
        self.done = 0

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        """Called by lm-eval for every answer."""
        self.done += 1
        self.report(self.done)


def answer(
    questions: list[Question],
    model: Any,
    tokenizer: Any,
    *,
    context: int,
    max_new_tokens: int,
    batch_size: int,
    report: Callable[[int], None],
) -> list[tuple[str, bool]]:
    """The model's answer to each question, and whether it is the reference.

    Raises `CheckFailed` where lm-eval would have asked anything but the prompt as it was rendered.
    """
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks._yaml_loader import load_yaml

    for name in ("lm_eval", "lm-eval"):
        logging.getLogger(name).setLevel(logging.ERROR)  # it warns that a model object was given, which is meant
    with tempfile.TemporaryDirectory() as folder:
        config = load_yaml(TASK)
        config["generation_kwargs"]["max_gen_toks"] = max_new_tokens
        config["dataset_kwargs"] = {"data_files": {"test": _write(questions, Path(folder))}, "cache_dir": folder}
        task = ConfigurableTask(config=config)
        harness = HFLM(
            pretrained=model,
            backend="causal",
            tokenizer=tokenizer,
            max_length=context,
            batch_size=batch_size,
            add_bos_token=False,
        )
        harness.cache_hook = Tally(report)
        harness.generate_until = partial(harness.generate_until, disable_tqdm=True)
        results = evaluate(lm=harness, task_dict={"held_out": task}, bootstrap_iters=0, log_samples=True)
    samples = sorted(results["samples"]["held_out"], key=lambda sample: sample["doc_id"])
    for question, sample in zip(questions, samples, strict=True):
        asked, _ = sample["arguments"][0]
        if asked != question.prompt or harness.tok_encode(asked) != ids(tokenizer, question.prompt):
            raise CheckFailed(f"evaluate: the row {question.id} was not asked as it was rendered; this is a defect.")
    return [(sample["filtered_resps"][0], bool(sample["exact_match"])) for sample in samples]


def _write(questions: list[Question], folder: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder / "questions.parquet"
    pq.write_table(pa.Table.from_pylist([asdict(question) for question in questions]), file)
    return str(file)
