"""A machine deploys and asks, another one works: nothing but the remotes of git and DVC, and the server, is common."""

import re
from collections.abc import Iterator

import pytest

from tests.flows.machines import Machines, hired
from tests.flows.project import STAGES
from tests.flows.site import Site

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


POLICIES = "share: {retries: 0}\n"


@pytest.fixture(scope="module")
def site(machines: Machines) -> Iterator[Site]:
    """The other machine, whose worker takes one run at a time."""
    with hired(machines, machines.there, "--limit", "1") as site:
        yield site


def test_a_deployment_holds_no_folder_of_the_deployer(machines: Machines, site: Site) -> None:
    here, there = machines.here, machines.there
    for deployment in machines.client.read_deployments():
        assert str(here.path.parent) not in deployment.model_dump_json()
    away = here.path.with_name("away")
    here.path.rename(away)
    try:
        name = there.command("start").split("Queued as ")[1].split()[0]
        assert site.ended(name) == "Completed", site.logs(site.run(name).id)
    finally:
        away.rename(here.path)
    assert site.stages(name) == dict.fromkeys(STAGES, "Completed")


def test_a_sweep_has_its_results_from_a_worker_elsewhere(machines: Machines, site: Site) -> None:
    """The trials start from a commit that the worker has not seen yet."""
    here, there = machines.here, machines.there
    here.set("train.steps=7")
    here.call("git", "commit", "--quiet", "--all", "--message", "steps")
    here.call("git", "push", "--quiet", "origin", "HEAD")
    output = here.command("sweep", "train.learning_rate=3e-3,4e-3", "--at-once", "2")
    assert output.count("Completed") == 2
    assert output.count("0.5") == 2
    assert not list(here.gate.glob("count-*")), "nothing works here"
    assert (there.gate / "count-train").read_text() == "xxx"
    best = re.search(r"The best: dvc exp pull origin (\S+); dvc exp apply \1$", output, re.MULTILINE)
    assert best, output
    here.dvc("exp", "pull", "origin", best[1])
    here.dvc("exp", "apply", best[1])
    assert "up to date" in here.dvc("status")
    weights = (here.path / "data/trained/weights.txt").read_bytes()
    assert here.dvc("repro").count("didn't change") == len(STAGES)
    assert weights == (here.path / "data/trained/weights.txt").read_bytes()


def test_a_sweep_on_the_only_slot_carries_its_trials_out_in_it(machines: Machines, site: Site) -> None:
    deployment = site.client.read_deployment_by_name("sweep/temper")
    values = {"values": ["train.learning_rate=5e-3,6e-3"], "at_once": 2}
    run = site.client.create_flow_run_from_deployment(deployment.id, parameters=values)
    assert site.ended(run.name) == "Completed", site.logs(run.id)
    for number in (1, 2):
        trial = f"{run.name}-{number:02}"
        assert site.state(trial) == "Completed"
        assert site.experiment(trial)
        assert f"{trial} runs in the slot of this sweep" in site.logs(run.id)
