"""Promotion: what a decision does to the registered model, and who is told."""

import json
import shutil
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tasks.core.paths import Paths
from tests.flows.project import Toy
from tests.tasks import tiny

pytestmark = pytest.mark.usefixtures("stages_asked_here")

PROJECT = """stages:
  merge: {cmd: python judge.py merge, deps: [judge.py], params: [train.learning_rate], outs: [data/merged]}
  evaluate: {cmd: python judge.py evaluate, deps: [judge.py, made], outs: [data/evaluation]}
  decide:
    cmd: python judge.py decide
    deps: [judge.py, data/merged, data/evaluation, data/best]
    params: [train.learning_rate]
    metrics: [{data/decision/decision.json: {cache: false}}]
artifacts: {model: {path: data/merged, type: model}}
"""
JUDGE = """import json, pathlib, shutil, sys
from ruamel.yaml import YAML
rate = YAML(typ="safe").load(pathlib.Path("params.yaml"))["train"]["learning_rate"]
data = pathlib.Path("data")
if sys.argv[1] == "merge":
    (data / "merged").mkdir()
    (data / "merged/model.txt").write_text(str(rate))
if sys.argv[1] == "evaluate":
    shutil.copytree("made", data / "evaluation")
if sys.argv[1] == "decide":
    (data / "decision").mkdir(exist_ok=True)
    known = (data / "best/scores.parquet").exists()
    decision = {"promote": rate < 1e-3, "reason": f"{rate} is {'compared' if known else 'alone'}."}
    decision |= {"candidate": "merged", "metric": "exact_match", "value": 0.9, "low": 0.8, "high": 1, "n": 4}
    decision |= {"gain": 0.5, "p": 0.01, "rules": {}}
    (data / "decision/decision.json").write_text(json.dumps(decision))
"""


def retrained(**options: Any) -> str:
    from flows.retrain import retrain

    return str(retrain(**options))


@pytest.fixture
def judged(new: Toy) -> Toy:
    """A project of three stages whose decision says yes for small learning rates."""
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "merged"):
        tiny.evaluation(Paths(Path("work")), candidate, {"exact_match": [1.0, 1.0, 0.0, 1.0]}, list("abcd"))
    shutil.move("work/data/evaluation", "made")
    Path("data/best").mkdir()
    Path("data/best/README.md").write_text("scores")
    Path("dvc.yaml").write_text(PROJECT)
    Path("judge.py").write_text(JUDGE)
    new.call("git", "add", "--all")
    new.call("git", "commit", "--quiet", "--message", "judged")
    return new


def test_the_decision_is_followed_and_later_runs_are_compared_with_what_is_promoted(judged: Toy) -> None:
    from flows.compare.production import holder

    def promoted() -> str:
        now = holder("production")
        assert now
        return now.commit

    output = retrained(settings={"train": {"learning_rate": 1e-4}})
    assert "is promoted: 0.0001 is alone." in output
    assert "model v0.0.1 is commit" in output
    first = promoted()
    assert "learning_rate: 0.0001" in judged.call("git", "show", f"{first}:params.yaml")
    assert "byte for byte the model that is already promoted" in retrained(settings={"train": {"learning_rate": 1e-4}})
    assert "is not promoted: 0.002 is compared." in retrained(settings={"train": {"learning_rate": 2e-3}})
    assert promoted() == first
    assert "is promoted: 0.0002 is compared." in retrained(settings={"train": {"learning_rate": 2e-4}})
    assert "learning_rate: 0.0002" in judged.call("git", "show", f"{promoted()}:params.yaml")
    assert not judged.call("git", "status", "--porcelain")


def test_people_are_told_and_a_dead_service_costs_nothing(judged: Toy) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    heard: list[dict[str, Any]] = []

    class Pager(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Pager) as pager:
        Thread(target=pager.serve_forever, daemon=True).start()
        block: Any = CustomWebhookNotificationBlock(
            name="pager",
            url=f"http://127.0.0.1:{pager.server_port}/",
            json_data={"subject": "{{subject}}", "body": "{{body}}"},
        )
        block.save("pager", overwrite=True)
        settings = {"train": {"learning_rate": 2e-3}}
        retrained(settings=settings, notify=["custom-webhook/nobody", "custom-webhook/pager"])
        pager.shutdown()
    assert [message["subject"].endswith("not promoted") for message in heard] == [True]


@pytest.mark.parametrize("name", ["infra/prefect.yaml"])
def test_what_is_deployed_can_be_imported(name: str) -> None:
    import importlib

    from ruamel.yaml import YAML

    document = YAML(typ="safe").load(Path(__file__).parents[2] / name)
    deployed = {
        "flows.deployed.deployed": "finetune", "flows.one_stage.one_stage": "stage", "flows.retrain.retrain": "retrain",
        "flows.sweep.sweep": "sweep",
    }  # fmt: skip
    assert {deployment["entrypoint"] for deployment in document["deployments"]} == set(deployed)
    for deployment in document["deployments"]:
        module, _, function = deployment["entrypoint"].rpartition(".")
        assert deployment["name"] == "temper"
        flow = getattr(importlib.import_module(module), function)
        assert (flow.fn.__name__, flow.name) == (function, deployed[deployment["entrypoint"]])
