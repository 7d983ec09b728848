"""A training that was stopped: where the next run begins, and how to get back the model that it had finished before."""

import shutil
from pathlib import Path

from flows.plan.unfinished import unfinished
from tasks.core.files import write_json
from tests.flows.project import Toy


def test_where_a_stopped_training_begins_and_where_the_last_model_is(toy: Toy) -> None:
    scratch = Path("data/scratch/train-0123")
    write_json(scratch / "inputs.json", {"inputs": {"settings": {"checkpoint_steps": 100}}})
    assert list(unfinished()) == [], "of settings that are not those of the model which is there"
    before = Path("data/trained/weights.txt").read_bytes()
    shutil.rmtree("data/trained")
    last = "The model that was in data/trained is in DVC's cache; to get it back: dvc checkout data/trained"
    assert list(unfinished()) == [
        "train: there is no checkpoint yet, so the next run starts at step 1; train.checkpoint_steps has one written "
        f"every 100 steps. {last}"
    ]
    for step, files in ((4, ["manifest.json"]), (40, ["manifest.json"]), (41, ["optimizer.pt"])):
        for name in files:
            write_json(scratch / f"checkpoint-{step}" / name, {})
    assert list(unfinished()) == [f"train: the next run resumes from step 40. {last}"]
    toy.dvc("checkout", "data/trained")
    assert Path("data/trained/weights.txt").read_bytes() == before
    assert list(unfinished()) == []
