"""Sweeps: what is proposed, what runs, what is stopped early, and what a person sees of it."""

import base64
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from flows.results.scores import HALF_WAY, numbers
from flows.run.pruning import PruningRule, half_way
from flows.search import Range, foreseen, space, trials
from flows.sweep import _plot, _rule, _score
from flows.trials import Trial, check
from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import PATHS
from tests.flows.project import Toy, until
from tests.flows.site import Site

LEARNING = {"train": {"learning_rate": 1e-3}}


def proposed(method: str, *values: str, count: int = 5) -> list[dict[str, object]]:
    source = trials(method, space(list(values)), count, 7, True)  # type: ignore[arg-type]
    proposals = []
    while (chosen := source.propose()) is not None:
        proposals.append(chosen)
        source.tell(chosen, float(len(proposals)))
    return proposals


def test_a_grid_has_every_combination() -> None:
    proposals = proposed("grid", "train.learning_rate=1e-4,2e-4", "train.lora.r=8,16", "train.method=lora")
    assert len(proposals) == 4
    assert {"train.learning_rate": 1e-4, "train.lora.r": 16, "train.method": "lora"} in proposals


def test_folders_beside_the_project_are_no_range() -> None:
    proposals = proposed("grid", "base.folder=../bases/a,../bases/b")
    assert proposals == [{"base.folder": "../bases/a"}, {"base.folder": "../bases/b"}]


@pytest.mark.parametrize("method", ["random", "optuna"])
def test_ranges_are_kept_and_a_seed_gives_the_same_again(method: str) -> None:
    pytest.importorskip("optuna")
    words = ("train.learning_rate=1e-5..1e-2", "train.lora.r=4..64", "train.method=lora,full")
    proposals = proposed(method, *words)
    assert len(proposals) == 5
    assert proposals == proposed(method, *words)
    for values in proposals:
        assert 1e-5 <= float(str(values["train.learning_rate"])) <= 1e-2
        assert isinstance(values["train.lora.r"], int)
        assert values["train.method"] in {"lora", "full"}
    assert len({str(values) for values in proposals}) > 1


def test_ranges_over_decades_are_drawn_by_their_logarithm() -> None:
    assert Range(1e-5, 1e-2).logarithmic
    assert not Range(4, 32).logarithmic
    drawn = [math.log10(float(str(v["a"]))) for v in proposed("random", "a=1e-5..1e-1", count=200)]
    assert sum(value < -3 for value in drawn) > 70


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("grid", "a", "expected KEY=VALUE,VALUE"),
        ("grid", "a=1..2", "a: a grid needs values; for ranges, add --random or --optuna"),
        ("random", "a=x..2", "'x' is not a number"),
        ("grid", "a=[1", "a=\\[1: "),
    ],
)
def test_what_cannot_be_tried_is_said(method: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        proposed(method, value)


def test_a_training_is_hopeless_half_way_and_not_before(tmp_path: Path) -> None:
    rule = PruningRule(loss=1.0)
    state = {"done": 50, "total": 100, "unit": "steps", "figures": {"loss": 1.5}}
    assert "at 50 of 100 steps its loss is 1.5, above 1" in rule.judge("train", state)
    assert rule.judge("base", state) == ""
    assert rule.judge("train", state | {"done": 49}) == ""
    assert rule.judge("train", state | {"figures": {"loss": 1.0}}) == ""
    curve = tmp_path / "loss.csv"
    curve.write_text("step,loss\n10,3.0\n20,2.0\n30,\n40,1.0\n")
    assert half_way(curve) == 2.0
    assert half_way(tmp_path / "none.csv") is None


def test_the_numbers_of_a_run_are_those_of_its_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PATHS.comparison.parent.mkdir(parents=True)
    slices = {"long": {"exact_match": {"value": 0.25}}}
    scores = {"exact_match": {"value": 0.1 + 0.2, "n": 10}, "slices": slices, "best": True, "name": "x"}
    PATHS.comparison.write_text(json.dumps({"candidates": {"gguf-q8_0": scores}}))
    values = {
        "candidates.gguf-q8_0.exact_match.value": 0.30000000000000004,
        "candidates.gguf-q8_0.exact_match.n": 10,
        "candidates.gguf-q8_0.slices.long.exact_match.value": 0.25,
    }
    assert {row["number"]: row["value"] for row in numbers()} == values
    PATHS.loss(PATHS.fitted).parent.mkdir(parents=True)
    PATHS.loss(PATHS.fitted).write_text("step,loss\n1,2.0\n2,1.0\n")
    assert {row["number"]: row["value"] for row in numbers()} == {**values, HALF_WAY: 2.0}


def test_trials_are_judged_by_what_their_runs_published() -> None:
    run = FlowRun(flow_id=uuid4(), name="brave-otter-01")
    losses = (3.0, 1.0, 2.0)
    done = [Trial(number, {}, run, numbers={"a.b": 0.5, HALF_WAY: loss}) for number, loss in enumerate(losses)]
    assert _rule(done[:2]) is None
    assert _rule([*done, Trial(4, {}, run)]) == PruningRule(loss=2.0)
    assert _score(done[0], "a.b") == 0.5
    with pytest.raises(MachineError, match=r"brave-otter-01: .*comparison.json has no a.c; did you mean 'a.b'"):
        _score(done[0], "a.c")


def test_what_no_trial_can_come_to_is_refused_before_the_first(toy: Toy) -> None:
    """By the settings of each trial at its start, the last one's too; of the working tree they know nothing."""
    toy.set("evaluate.metrics=[{kind: f1}]")
    metric = "candidates.merged.exact_match.value"

    def refused(*values: str, metric: str = metric) -> None:
        check(list(foreseen("grid", space(list(values)), 0, 0)), metric, "HEAD")

    refused("train.learning_rate=1e-4,2e-4")
    refused("merge.probes=4,8", metric="candidates.nf4.slices.new_phrasing.exact_match.low")
    refused("merge.probes=4,8", metric=HALF_WAY)
    with pytest.raises(SettingsError, match=r"with merge.probes=4, no run has a number candidates.merged.exact"):
        refused("merge.probes=4", metric="candidates.merged.exact_macth.value")
    with pytest.raises(SettingsError, match=r"did you mean 'candidates.nf4.exact_match.value'"):
        refused("merge.probes=4", metric="candidates.nf5.exact_match.value")
    with pytest.raises(SettingsError, match=r"with quantize.schemes=.*, no run has a number"):
        refused("quantize.schemes=[nf4],[int8]", metric="candidates.nf4.exact_match.value")
    with pytest.raises(SettingsError, match=r"^train.lerning_rate=0.1: params.yaml.*did you mean"):
        refused("train.lerning_rate=0.1")
    with pytest.raises(SettingsError, match=r"^train.learning_rate=0.1, train.method=lore: params.yaml.*train.method"):
        refused("train.learning_rate=0.1", "train.method=lora,lore")


def test_the_plot_is_a_picture_with_a_line_for_each_trial() -> None:
    rows = [{"lr": 1e-4, "method": "<b>", "score": 0.9}, {"lr": 1e-2, "method": "full", "score": None}]
    encoded = re.search(r"base64,([^)]+)\)", _plot(rows))
    assert encoded
    picture = ElementTree.fromstring(base64.b64decode(encoded[1]))
    paths = [path.get("d", "") for path in picture.iter() if path.get("fill") == "none"]
    assert [path.count("L") for path in paths] == [1, 2]
    assert _plot([]) == "No trial ended."


@pytest.mark.long
def test_a_sweep_runs_its_trials_and_says_which_was_best(site: Site) -> None:
    counted = site.toy.gate / "count-train"
    before = len(counted.read_text()) if counted.exists() else 0
    process = site.toy.temper("sweep", "train.learning_rate=3e-3,4e-3", "merge.probes=4,8", "--at-once", "2")
    output = "".join(process.communicate())
    assert process.returncode == 0, output
    assert "The best: dvc exp apply " in output
    assert output.count("Completed") == 4
    assert len(counted.read_text()) - before == 2  # four trials, two trainings
    run = next(run for run in site.client.read_flow_runs() if run.name and output.count(run.name) > 3)
    names = {f"{run.name}-{number:02}" for number in range(1, 5)}
    assert {name for name in names if site.experiment(name)} == names
    assert {site.parameter(name, "learning_rate") for name in names} == {3e-3, 4e-3}


@pytest.mark.long
def test_a_sweep_that_is_cancelled_ends_its_trials_and_runs_again(site: Site, held: Callable[[str], Path]) -> None:
    """One trial works in the slot of the sweep, the other in the worker's next one; none stays, nor its worktree."""
    gate = held("train")
    deployment = site.client.read_deployment_by_name("sweep/temper")
    values = {"values": ["train.learning_rate=7e-3,8e-3,9e-3"], "at_once": 3}
    run = site.client.create_flow_run_from_deployment(deployment.id, parameters=values)
    site.toy.held("train")
    site.client.set_flow_run_state(run.id, Cancelling())
    assert site.ended(run.name) == "Cancelled", site.logs(run.id)
    assert {site.ended(f"{run.name}-{number:02}") for number in (1, 2, 3)} == {"Cancelled"}
    until(lambda: not site.working())
    until(lambda: not site.left())
    gate.unlink()
    again = site.client.create_flow_run_from_deployment(deployment.id, parameters=values)
    assert site.ended(again.name) == "Completed", site.logs(again.id)
    assert {site.ended(f"{again.name}-{number:02}") for number in (1, 2, 3)} == {"Completed"}


@pytest.mark.long
def test_a_sweep_that_is_killed_is_gone_on_with(site: Site, held: Callable[[str], Path]) -> None:
    """Its trial goes on with its worker; the next sweep takes what that made, and runs the other one only."""
    counted = site.toy.gate / "count-train"
    before = len(counted.read_text()) if counted.exists() else 0
    gate = held("train")
    words = ("sweep", "train.learning_rate=1e-3,2e-3", "--at-once", "1")
    process = site.toy.temper(*words)
    site.toy.held("train")
    process.kill()
    process.communicate()
    gate.unlink()
    (first,) = [run for run in site.client.read_flow_runs() if run.parameters.get("settings") == LEARNING]
    assert site.ended(first.name) == "Completed"
    process = site.toy.temper(*words)
    output = "".join(process.communicate())
    assert process.returncode == 0, output
    assert output.count("Completed") == 2
    assert re.search(rf"^{first.name} +0\.001 .*Completed$", output, re.MULTILINE), "what the killed one had queued"
    assert len(counted.read_text()) - before == 2, "each was trained once"
    assert site.state(first.name.removesuffix("-01")) == "Crashed", "the killed sweep is not shown as running"


@pytest.mark.long
def test_a_sweep_over_bases_sets_them_side_by_side(site: Site) -> None:
    process = site.toy.temper("sweep", "base.folder=data/bases/a,data/bases/b", "--json")
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    board = json.loads(output)["leaderboard"]
    assert {entry["base"] for entry in board["entries"]} == {"data/bases/a", "data/bases/b"}
    assert board["tasks"] == [{"task": "", "metric": "exact_match"}]
    for entry in board["entries"]:
        assert entry["scores"] == [[[0.5, 0.4, 0.6], [0.5, 0.4, 0.6]]]
        assert entry["training_seconds"] > 0 and entry["cost"] is None
    compared = {run["name"]: run["training"] for run in json.loads(site.toy.command("compare", "--json"))["runs"]}
    for entry in board["entries"]:
        assert compared[entry["run"]] == entry["training_seconds"]
