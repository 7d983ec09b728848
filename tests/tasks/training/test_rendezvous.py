"""Hosts find each other by the settings, and by the variables that SLURM, Kubernetes and torchrun set."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import MachineError, SettingsError
from tasks.core.settings import load
from tasks.train.settings import Settings
from tasks.training.launch import Launch
from tasks.training.rendezvous import Meeting, first_host, meeting

TWO = Launch(nodes=2, processes=4)

SLURM = {"SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "gpu[003-004]", "SLURM_NNODES": "2", "SLURM_NODEID": "1"}

WAYS: list[tuple[dict[str, str], Meeting]] = [
    (SLURM, Meeting("gpu003", 24567, 1)),
    ({"NODE_RANK": "0", "MASTER_ADDR": "10.0.0.7"}, Meeting("10.0.0.7", 29500, 0)),
    ({"GROUP_RANK": "1", "MASTER_ADDR": "head", "MASTER_PORT": "1234"}, Meeting("head", 1234, 1)),
    ({"JOB_COMPLETION_INDEX": "1", "MASTER_ADDR": "job-0.job"}, Meeting("job-0.job", 29500, 1)),
    ({"PET_NODE_RANK": "1", "PET_NNODES": "2", "PET_MASTER_ADDR": "a", "PET_MASTER_PORT": "9"}, Meeting("a", 9, 1)),
    ({"PET_NODE_RANK": "0", "PET_RDZV_ENDPOINT": "b:7", "NODE_RANK": "1"}, Meeting("b", 7, 0)),
]


@pytest.mark.parametrize(("environment", "wanted"), WAYS)
def test_the_environment_says_where_and_which(environment: dict[str, str], wanted: Meeting) -> None:
    assert meeting(TWO, environment) == wanted


def test_the_setting_goes_before_the_environment() -> None:
    assert meeting(TWO.model_copy(update={"rendezvous": "[::1]:29"}), SLURM) == Meeting("::1", 29, 1)
    assert meeting(TWO.model_copy(update={"rendezvous": "a.b:29"}), SLURM) == Meeting("a.b", 29, 1)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("gpu[003-006,9],login1", "gpu003"), ("node7", "node7"), ("a1,a2", "a1"), ("rack[2,4]-ib", "rack2-ib"),
        ("n[10]", "n10"),
    ],
)  # fmt: skip
def test_the_first_host_of_a_list(hosts: str, first: str) -> None:
    assert first_host(hosts) == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SLURM_NODEID": ""}, "but the number of this host is unknown; set NODE_RANK to it, from 0 to 1"),
        ({"SLURM_NODEID": "2", "SLURM_NNODES": ""}, "this host has the number 2, counting from 0"),
        ({"SLURM_NNODES": "3"}, "the environment says 3 hosts; set nodes to 3"),
        ({"SLURM_LOCALID": "1"}, "pass --ntasks-per-node=1 to srun"),
        (
            {"SLURM_JOB_NODELIST": ""},
            "but the address where the hosts meet is unknown; set launch.rendezvous to HOST:PORT",
        ),
    ],
)
def test_what_is_missing_or_contradicts_is_said(change: dict[str, str], message: str) -> None:
    with pytest.raises((MachineError, SettingsError), match=message.replace("[", r"\[")):
        meeting(TWO, {**SLURM, **change})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rendezvous": "host:29500"}, "rendezvous has no effect on a single host"),
        ({"rendezvous": "host", "nodes": 2}, "pattern"),
        ({"rendezvous": "host:70000", "nodes": 2}, "has no port from 1 to 65535"),
        (
            {"tensor_parallel": 2},
            "tensor_parallel is not offered, since it is untested: accelerate 1.15 does not split",
        ),
        ({"context_parallel": 2}, "context_parallel is not offered"),
        ({"offload": True, "strategy": "fsdp2"}, "offload is for zero2 and zero3"),
        ({"processes": 0}, "greater than or equal to 1"),
        ({"strategy": "fsdp"}, "fsdp2"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Launch(**values)


def test_the_key_that_was_before_names_the_one_of_now(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("train:\n  processes: 2\n")
    with pytest.raises(SettingsError, match=r"params.yaml:2: unknown key 'train.processes'; did you mean 'train.la"):
        load(Settings, params, "train")
