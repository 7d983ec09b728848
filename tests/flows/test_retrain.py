"""Promotion: what a decision does to the branch `promoted`, and who is told."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.flows.project import Toy


def retrained(**options: Any) -> str:
    from flows.retrain import retrain

    return str(retrain(**options))


def promoted(toy: Toy) -> str:
    return toy.call("git", "rev-parse", "--verify", "--quiet", "promoted", check=False).strip()


def decided(toy: Toy, promote: bool) -> None:
    """Commit a decision, as a stage of the pipeline would write it."""
    Path("data/decision").mkdir(exist_ok=True)
    Path("data/decision/decision.json").write_text(json.dumps({"promote": promote, "reason": "0.9 is above 0.8."}))
    toy.call("git", "add", "--all", "--force", "data/decision")
    toy.call("git", "commit", "--quiet", "--message", "decision")


def test_the_decision_is_followed(toy: Toy) -> None:
    assert "has no data/decision/decision.json" in retrained()
    assert promoted(toy) == ""
    decided(toy, promote=True)
    said = retrained(settings={"train": {"learning_rate": 1e-4}})
    assert "is promoted: 0.9 is above 0.8." in said
    first = promoted(toy)
    assert "learning_rate: 0.0001" in toy.call("git", "show", f"{first}:dvc.lock")
    assert "byte for byte, what is promoted already" in retrained(settings={"train": {"learning_rate": 1e-4}})
    decided(toy, promote=False)
    assert "is not promoted" in retrained(settings={"train": {"learning_rate": 2e-4}})
    assert promoted(toy) == first


def test_people_are_told_and_a_dead_service_costs_nothing(toy: Toy) -> None:
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
        retrained(notify=["custom-webhook/nobody", "custom-webhook/pager"])
        pager.shutdown()
    assert [message["subject"].endswith("was not promoted") for message in heard] == [True]


@pytest.mark.parametrize("name", ["infra/prefect.yaml"])
def test_what_is_deployed_can_be_imported(name: str) -> None:
    import importlib

    from ruamel.yaml import YAML

    document = YAML(typ="safe").load(Path(__file__).parents[2] / name)
    for deployment in document["deployments"]:
        module, _, function = deployment["entrypoint"].rpartition(".")
        assert deployment["name"] == "temper"
        assert getattr(importlib.import_module(module), function).name == function
