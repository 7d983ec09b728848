"""An engine that cannot be had is refused before a run, in a sentence; no stage's key depends on the engine."""

import importlib.util
import socket
from pathlib import Path

import pytest

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import Paths
from tasks.core.settings import load
from tasks.engine import ready
from tasks.engine.chosen import Local, chosen
from tasks.engine.settings import Machine, machine
from tasks.stages import entries


def test_a_cluster_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (fault,) = ready.faults(Machine(engine="ray", address=address))
    assert fault.startswith(f"machine.address = {address}: no Ray cluster answers there (connection refused); ")
    (fault,) = ready.faults(Machine(engine="ray", address="127.0.0.1:99999"))
    assert fault == "machine.address = 127.0.0.1:99999: the port is a number from 1 to 65535."
    (fault,) = ready.faults(Machine(engine="ray", address="no-such-host.invalid:6379"))
    assert "no Ray cluster answers there" in fault
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not list(ready.faults(Machine(engine="ray", address=f"127.0.0.1:{server.getsockname()[1]}")))


def test_without_ray_the_extra_is_named_and_local_needs_nothing(monkeypatch: pytest.MonkeyPatch, paths: Paths) -> None:
    monkeypatch.setattr(ready, "find_spec", lambda name: None if name == "ray" else importlib.util.find_spec(name))
    (fault,) = ready.faults(Machine(engine="ray"))
    assert fault == (
        "machine.engine: Ray is not installed; run: pip install 'temper[ray]', or set machine.engine=local."
    )
    assert not list(ready.faults(Machine(address="10.0.0.5:6379")))
    paths.params.write_text("machine: {engine: ray}\n")
    with pytest.raises(MachineError, match=r"pip install 'temper\[ray\]'"), chosen(paths):
        pass


def test_the_engine_is_what_params_say(paths: Paths) -> None:
    assert machine(paths) == Machine()
    for text in ("clean: {}\n", "machine:\n", "machine: {price: 2.5}\n"):
        paths.params.write_text(text)
        with chosen(paths) as engine:
            assert isinstance(engine, Local)
            assert list(engine.ordered(abs, [-1, -2])) == [1, 2]


@pytest.mark.parametrize("address", ["6379", "ray://head:10001", "head:6379/", ":6379", "head:", "-x:1"])
def test_an_address_is_a_host_and_a_port(tmp_path: Path, address: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(f"machine: {{engine: ray, address: '{address}'}}\n")
    with pytest.raises(SettingsError, match=r"machine\.address"):
        load(Machine, file, "machine")


def test_no_stage_depends_on_the_machine() -> None:
    keys = [key for stage, entry in entries().values() for key in (entry.params or (stage.name,))]
    assert keys
    assert not [key for key in keys if key.split(".")[0] == "machine"]
