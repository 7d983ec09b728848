"""What a person does and sees in the browser with deployed runs: the form, a run at work, a run that failed."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.browser import CHROMIUM, FLAGS, WITHOUT, admitted
from tests.flows.project import BELOW_TRAIN, until
from tests.flows.results.test_page import PATIENCE
from tests.flows.site import Site

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT),
]


@pytest.fixture(scope="module")
def tab(site: Site) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium:
        tab = admitted(chromium.new_page(viewport={"width": 1280, "height": 1400}), site.server.url)
        tab.set_default_timeout(PATIENCE)
        yield tab


def page(site: Site) -> str:
    return str(site.client.api_url).rstrip("/").removesuffix("/api")


def field(tab: Any, *keys: str) -> Any:
    """The part of the form for a key of params.yaml, by the keys above it and its own."""
    locator = tab.locator("form")
    for key in keys:
        header = tab.locator(":scope > .p-label__header").get_by_text(re.compile(rf"^{key}( \(Optional\))?$"))
        locator = locator.locator(".schema-form-property").filter(has=header)
        locator.first.wait_for()
    return locator


def test_the_form_shows_values_and_words_and_its_run_has_what_was_changed(site: Site, tab: Any) -> None:
    deployment = site.client.read_deployment_by_name("finetune/temper")
    before = {run.id for run in site.client.read_flow_runs()}
    tab.goto(f"{page(site)}/deployments/deployment/{deployment.id}/run")
    tab.get_by_text("The commit, branch, tag or experiment to start from").first.wait_for()
    rate = field(tab, "settings", "train", "learning_rate")
    rate.get_by_text("Peak learning rate, after warm-up.").wait_for()
    params = YAML(typ="safe").load(site.toy.path / "params.yaml")
    assert float(rate.locator("input").input_value()) == params["train"]["learning_rate"]
    rate.locator("input").fill("0.00025")
    tab.get_by_role("button", name="Submit").click()

    run = until(lambda: next((run for run in site.client.read_flow_runs() if run.id not in before), None))
    assert site.ended(run.name) == "Completed", site.logs(run.id)
    deployed_params = YAML(typ="safe").load(site.toy.call("git", "show", f"{site.experiment(run.name)}:params.yaml"))
    assert deployed_params == params | {"train": params["train"] | {"learning_rate": 0.00025}}
    assert {stage for stage, state in site.stages(run.name).items() if state == "Completed"} == BELOW_TRAIN


def test_a_run_at_work_shows_its_progress(site: Site, tab: Any, held: Callable[[str], Path]) -> None:
    gate = held("train")
    name = site.start("train.learning_rate=3.5e-4")
    site.toy.held("train")
    tab.goto(f"{page(site)}/runs/flow-run/{site.run(name).id}")
    tab.get_by_text("Running", exact=True).first.wait_for()
    tab.get_by_text("Task Runs", exact=True).first.click()
    for stage, state in (("base", "Cached"), ("train", "Running"), ("merge", "Pending")):
        tab.locator(".task-run-list-item", has_text=re.compile(rf"\b{stage}\b")).get_by_text(state).first.wait_for()
    tab.get_by_text("Artifacts", exact=True).first.click()
    tab.get_by_text("train: 1 of 2 steps. loss 0.5").first.wait_for()
    tab.get_by_text("progress-train").first.click()
    tab.get_by_text("50%").first.wait_for()
    gate.unlink()
    assert site.ended(name) == "Completed"
    tab.goto(f"{page(site)}/runs/flow-run/{site.run(name).id}")
    tab.get_by_text("Completed", exact=True).first.wait_for()


def test_a_run_that_failed_says_what_to_do(site: Site, tab: Any) -> None:
    gate = site.toy.gate / "fail-merge"
    gate.touch()
    name = site.start("train.learning_rate=3.6e-4")
    assert site.ended(name) == "Failed"
    gate.unlink()
    tab.goto(f"{page(site)}/runs/flow-run/{site.run(name).id}")
    tab.get_by_text("Failed", exact=True).first.wait_for()
    for line in ("merge: the toy was told to fail.", f"Remove {site.toy.gate.name}/fail-merge."):
        tab.get_by_text(line).first.wait_for()  # in the log, which is what the page opens with
    assert tab.get_by_text("Traceback").count() == 0
    tab.get_by_text("Details", exact=True).first.click()
    tab.get_by_text(f"Remove {site.toy.gate.name}/fail-merge.").first.wait_for()
