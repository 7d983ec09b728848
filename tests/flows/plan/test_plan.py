"""`temper plan`: what would run and why, and that it changes nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path

from flows.plan.plan import Step, as_json, as_text, placed, plan
from flows.run.policies import Operation
from tests.flows.project import BELOW_TRAIN, STAGES, Toy


def steps() -> dict[str, Step]:
    return {step.stage: step for step in plan()}


def test_nothing_to_do(toy: Toy) -> None:
    assert {step.verdict for step in steps().values()} == {"unchanged"}


def test_reasons_are_parameters_files_and_the_stages_above(toy: Toy) -> None:
    before = toy.lock
    toy.set("merge.probes=8")
    Path("code/trainer.py").write_text("x = 2\n")
    Path("code/notes.py").write_text("")
    planned = steps()
    assert planned["train"] == Step("train", "run", ("file code/trainer.py changed", "file code/notes.py changed"))
    assert planned["merge"].verdict == "run"
    assert planned["merge"].reasons == ("merge.probes 16 -> 8",)
    assert planned["quantize@nf4"].reasons == ("it needs merge, which would run",)
    assert {stage for stage, step in planned.items() if step.verdict == "run"} == BELOW_TRAIN
    assert toy.lock == before
    assert re.search(r"^merge +would run\n +merge.probes 16 -> 8\n", as_text(list(planned.values())), re.MULTILINE)


def test_what_the_cache_knows_would_be_restored(toy: Toy) -> None:
    toy.set("train.learning_rate=1e-4")
    assert steps()["train"].verdict == "run"
    toy.flow()
    toy.set("train.learning_rate=0.005")
    planned = steps()
    assert planned["train"] == Step("train", "restored", ("train.learning_rate 0.0001 -> 0.005",))
    assert planned["evaluate@int8"].verdict == "restored"
    assert planned["report"].verdict == "restored or run"  # it reads a folder of outputs: known when they lie there
    assert planned["clean"].verdict == "unchanged"
    assert b"learning_rate: 0.0001" in toy.lock


def test_a_missing_output_that_comes_back_as_it_was_changes_nothing_below(toy: Toy) -> None:
    Path("data/trained/weights.txt").unlink()
    planned = steps()
    assert planned["train"] == Step("train", "restored", ("output data/trained was changed",))
    assert planned["merge"].verdict == "unchanged"


def test_stages_of_queues_are_named_with_whether_a_worker_is_there() -> None:
    policies = Operation.model_validate(
        {"share": {}, "queues": ["gpu", "memory"], "stages": {"clean": {"queue": "memory"}, "merge": {"queue": None}}}
    )
    train, clean = Step("train", "run", ("x",)), Step("clean", "restored or run", ())
    others = [Step("merge", "run", ()), Step("report", "run", ()), Step("evaluate@nf4", "restored", ())]
    asked = []

    def served(queue: str) -> bool:
        asked.append(queue)
        return queue == "gpu"

    there, waits, *same = placed([train, clean, *others], policies, served)
    assert (there, waits) == (replace(train, queue="gpu", worker=True), replace(clean, queue="memory", worker=False))
    assert same == others
    assert asked == ["gpu", "memory"]
    text = as_text([there, waits, *same])
    assert "train         would run; in a deployed run by a worker of the queue gpu (one is running)\n" in text
    assert "by a worker of the queue memory (none is running: temper worker --queue memory)\n" in text
    assert "merge         would run\n" in text
    alone = placed([train], policies, None)
    assert as_text(alone).startswith("train  would run; in a deployed run by a worker of the queue gpu (no server")
    shown = {"stage": "train", "verdict": "run", "reasons": ("x",), "queue": "gpu", "worker": None}
    assert as_json([*alone, others[0]]) == [shown, {"stage": "merge", "verdict": "run", "reasons": ()}]


def test_a_reason_that_stages_in_a_row_share_is_said_once() -> None:
    never = ("it has not run yet",)
    planned = [
        *(Step("base", "run", never), Step("clean", "restored", never), Step("train", "run", ("x", "y"))),
        *(Step("merge", "unchanged", ()), Step("report", "unchanged", ()), Step("judge", "run", never)),
    ]
    assert as_text(planned).splitlines() == [
        "base    would run",
        "clean   would be restored",
        "          each of these 2: it has not run yet",
        "train   would run",
        "          x",
        "          y",
        "merge   unchanged",
        "report  unchanged",
        "judge   would run",
        "          it has not run yet",
    ]


def test_for_programs(toy: Toy) -> None:
    Path("code/trainer.py").write_text("x = 2\n")
    planned = json.loads(toy.temper("plan", "--json").communicate()[0])
    assert [step["stage"] for step in planned] and {step["stage"] for step in planned} == STAGES
    assert {"stage": "train", "verdict": "run", "reasons": ["file code/trainer.py changed"]} in planned
