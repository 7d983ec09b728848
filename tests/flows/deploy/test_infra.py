"""Files in infra/: what can be checked of them without a cloud."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.run.policies import Operation, StagePolicy, operation
from tasks.core.errors import SettingsError
from tests.flows.project import ROOT

INFRA = ROOT / "infra"


def documents(name: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(INFRA / name))


def test_every_stage_is_carried_out_as_a_known_pattern_says() -> None:
    from fnmatch import fnmatchcase

    declared = documents("../dvc.yaml")[0]["stages"]
    for pattern in operation(INFRA / "stages.yaml").stages:
        assert any(fnmatchcase(stage, pattern) for stage in declared), f"there is no stage {pattern}"


def test_stages_are_carried_out_as_they_declare() -> None:
    """No two stages that compute share a card; who asks a teacher asks again; what the file says counts first."""
    policies = operation(INFRA / "stages.yaml")
    for stage in ("base", "train", "align", "merge", "quantize@nf4", "evaluate-base", "evaluate-quantized@nf4"):
        assert policies.of(stage).limits == {"gpu": 1}, stage
    for stage in ("generate", "judge@merged", "evaluate-hosted@other"):
        assert (policies.of(stage).retries, policies.of(stage).timeout) == (3, 86_400.0), stage
    for stage in ("clean", "template", "decide", "report"):
        assert policies.of(stage) == StagePolicy(), stage
    otherwise = policies.model_copy(update={"stages": {"judge": StagePolicy(retries=9)}})
    assert (otherwise.of("judge").retries, otherwise.of("judge").timeout) == (9, 86_400.0)


def test_stages_that_compute_go_to_the_queue_of_cards_where_there_is_one() -> None:
    policies = Operation.model_validate(
        {"share": {}, "queues": ["gpu", "memory"], "stages": {"clean": {"queue": "memory"}, "merge": {"queue": None}}}
    )
    queues = {stage: policies.of(stage).queue for stage in ("train", "quantize@nf4", "merge", "clean", "report")}
    assert queues == {"train": "gpu", "quantize@nf4": "gpu", "merge": None, "clean": "memory", "report": None}
    assert operation(INFRA / "stages.yaml").of("train").queue is None


def test_the_first_pattern_that_fits_counts() -> None:
    policies = Operation.model_validate(
        {"limits": {"gpu": {"slots": 1}}, "stages": {"a*": {"limits": {"gpu": 1}}, "ab": {"retries": 1}}}
    )
    assert policies.of("ab").retries == 0
    assert policies.of("ab").limits == {"gpu": 1}
    assert policies.of("b").limits == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {train: {limits: {gpu: 1}}}", "train takes slots of 'gpu', which is not among the limits"),
        ("limits: {gpu: {slots: 1}}\nstages: {train: {limits: {gpu: 2}}}", "takes 2 slots of 'gpu', which has 1"),
        ("queues: [gpu]", "set share"),
        ("stages: {clean: {queue: big}}", "clean is for the queue 'big', which is not among the queues"),
        ("share: {}\nqueues: [a/b]", "queues.0 = 'a/b'"),
        ("stages: {train: {timeout: 0}}", "stages.train.timeout = 0: input should be greater than 0"),
        ("stages: {train: {retrys: 1}}", "unknown key 'stages.train.retrys'"),
    ],
)
def test_faults_in_stages_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "stages.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(message)):
        operation(path)


def test_compose_listens_on_this_machine_only_and_holds_no_secret() -> None:
    (document,) = documents("compose.yaml")
    services = document["services"]
    assert set(services) == {"database", "server", "worker", "store"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ":latest" not in service.get("image", "")
        assert set(service.get("depends_on", {})) <= set(services)
        for key, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|AUTH", key):
                assert str(value).startswith("${"), f"{name}: {key}"
    named = set(re.findall(r"\$\{([A-Z_]+)", (INFRA / "compose.yaml").read_text()))
    example = set(re.findall(r"^([A-Z_]+)=", (INFRA / "compose.env.example").read_text(), re.MULTILINE))
    assert named == example


def test_what_the_image_copies_exists() -> None:
    text = (INFRA / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split()), line
    assert set(re.findall(r" AS (\w+)", text)) == {"base", "server", "worker"}
    locked = (ROOT / "requirements.lock").read_text().lower()
    for name in ("prefect", "fastapi", "sqlalchemy", "asyncpg"):
        assert f"\n{name}==" in locked


def test_kubernetes_worker_asks_for_a_card_and_mounts_the_project() -> None:
    claim, deployment = documents("kubernetes.yaml")
    assert (claim["kind"], deployment["kind"]) == ("PersistentVolumeClaim", "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_kubernetes_pool_declares_what_its_job_takes_and_asks_for_cards() -> None:
    from jsonschema import Draft202012Validator

    template = documents("kubernetes-pool.json")[0]
    variables, job = template["variables"], template["job_configuration"]
    Draft202012Validator.check_schema(variables)
    taken = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(job)))
    assert taken == set(variables["properties"])
    defaults = {name: part["default"] for name, part in variables["properties"].items() if "default" in part}
    Draft202012Validator(variables).validate(defaults)
    pod = job["job_manifest"]["spec"]["template"]["spec"]
    assert pod["parallelism"] == pod["completions"] == 1  # not of Kubernetes: Prefect refuses a template without them
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert defaults["claim"] == documents("kubernetes.yaml")[0]["metadata"]["name"]


def test_a_ray_cluster_has_the_locked_version_listens_inside_only_and_sends_no_statistics() -> None:
    (cluster,) = documents("ray.yaml")
    version = re.findall(r"^ray==(\S+)$", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    assert [cluster["spec"]["rayVersion"]] == version
    head, (workers,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    assert head["serviceType"] == "ClusterIP"
    assert head["rayStartParams"] == {"num-cpus": "0", "include-dashboard": "false"}
    assert 1 <= workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    containers = [group["template"]["spec"]["containers"] for group in (head, workers)]
    for (container,) in containers:
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        assert container["readinessProbe"] == container["livenessProbe"]
    assert len({container["image"] for (container,) in containers}) == 1, "nodes need equal versions"
    probed = [container["readinessProbe"]["tcpSocket"]["port"] for (container,) in containers]
    served = containers[0][0]["ports"][0]["containerPort"], int(workers["rayStartParams"]["node-manager-port"])
    assert tuple(probed) == served


def test_rented_nodes_join_the_ray_of_the_first_one_whose_version_is_that_of_the_extra() -> None:
    from tomllib import loads

    (task,) = documents("sky-ray.yaml")
    assert task["num_nodes"] > 1 and task["envs"]["RAY_USAGE_STATS_ENABLED"] == "0"
    (extra,) = loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["ray"]
    assert f"'{extra}'" in task["setup"] and extra in (INFRA / "ray.yaml").read_text()
    assert task["run"].count("ray start") == task["run"].count("--disable-usage-stats") == 2
    assert "--include-dashboard false" in task["run"]
