"""The validation loss of preferences is that of the rows one by one, whatever `batch_size` is."""

import csv
import json
import random
from typing import Any

import pytest

from tasks.align import stage
from tasks.core.paths import Paths
from tasks.template.shards import JUDGED, PREFERENCES
from tests.tasks import tiny
from tests.tasks.align.test_align import settings_with, write

TRAINED, MEASURED = slice(0, 12), slice(12, 22)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Pairs with answers of very different lengths."""
    paths = tiny.project(tmp_path_factory.mktemp("uneven"))
    (paths.trained / "training.json").write_text(json.dumps({"method": "lora"}))
    tokenizer, source = tiny.tokenizer(), random.Random(3)
    pairs, judged = [], []
    for number, chat in enumerate(tiny.conversations()):
        prompt = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, tokenize=True)["input_ids"]
        length = 25 if number % 5 == 4 else 2
        texts = [" ".join(source.choices(tiny.NAMES, k=length)) for _ in range(2)]
        chosen, rejected = (tokenizer(text + "<|im_end|>")["input_ids"] for text in texts)
        pairs.append({"id": str(number), "prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
        judged += [
            {"id": f"{number}{good}", "prompt_ids": prompt, "completion_ids": ids, "label": good}
            for ids, good in ((chosen, True), (rejected, False))
        ]
    for split, part in (("train", TRAINED), ("validation", MEASURED)):
        write(paths.templated / "preferences" / f"{split}.arrow", pairs[part], PREFERENCES)
        write(paths.templated / "judged" / f"{split}.arrow", judged[part], JUDGED)
    return paths


def eval_loss(paths: Paths, batch: int, **values: Any) -> float:
    """After one step on all rows, the same whatever `batch` is: so many at a time, and their gradients added up."""
    rows = 24 if values.get("objective") == "kto" else 12
    once = {
        "steps": 1, "eval_steps": 1, "checkpoint_steps": 9, "warmup_steps": 0, "scheduler": "constant",
        "batch_size": batch, "gradient_accumulation": rows // batch, "max_start": 10.0,
    }  # fmt: skip
    stage.run(settings_with(**once, **values), paths)
    with (paths.aligned / "loss.csv").open() as file:
        return next(float(point["eval_loss"]) for point in csv.DictReader(file) if point["eval_loss"])


@pytest.mark.parametrize(
    ("objective", "arguments"),
    [
        ("dpo", {}),
        ("dpo", {"loss_type": ["sigmoid", "sft"]}),
        ("dpo", {"loss_type": "aot_unpaired"}),
        pytest.param("dpo", {"loss_type": "bco_pair"}, marks=pytest.mark.long),
        ("kto", {}),
        ("kto", {"loss_type": "apo_zero_unpaired"}),
        ("orpo", {}),
        pytest.param("cpo", {}, marks=pytest.mark.long),
        ("simpo", {}),
        ("reward", {}),
    ],
    ids=str,
)
def test_the_loss_does_not_depend_on_the_batch_size(paths: Paths, objective: str, arguments: dict[str, Any]) -> None:
    values: dict[str, Any] = {"objective": objective, "arguments": arguments}
    values["start"] = "base" if objective == "reward" else "train"
    if objective in ("orpo", "cpo") or "sft" in str(arguments):
        values["learning_rate"] = 1e-9  # a step of theirs depends on what shares a batch, and their loss is never 0
    ragged, whole = (eval_loss(paths, batch, **values) for batch in (4, 12))  # ten rows: 4, 4 and 2, or all at once
    assert ragged == pytest.approx(whole, rel=1e-5 if "learning_rate" in values else 1e-3)
