"""Runs shared by an S3-compatible store: pushed, pushed again after it went away in mid-push, and pulled elsewhere."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.project import STAGES, Toy, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (find_spec("dvc_s3") and find_spec("moto")), reason="pip install 'temper[s3]' 'moto[server]'"
    ),
]

STORE = Path(__file__).parents[1] / "store.py"

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "temper", "AWS_SECRET_ACCESS_KEY": "planted0secret", "AWS_REGION": "us-east-1"}


class Bucket:
    """A bucket of a store that runs, and the file that makes the store go away."""

    def __init__(self, url: str, gate: Path) -> None:
        self.url = url
        self.gate = gate

    def objects(self) -> int:
        return httpx.get(f"{self.url}/temper").text.count("<Key>")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in {**CREDENTIALS, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gate, url = tmp_path / "away", f"http://127.0.0.1:{port}"
    with (tmp_path / "store.log").open("w") as log:
        command = [sys.executable, str(STORE), str(port), str(gate)]
        store = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _answers(url))
        assert httpx.put(f"{url}/temper").status_code == 200
        yield Bucket(url, gate)
    finally:
        store.terminate()
        store.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < 500
    except httpx.TransportError:
        return False


@pytest.mark.timeout(900)
def test_a_store_that_goes_away_in_mid_push_gets_the_rest_later_and_another_machine_all(
    bucket: Bucket, new: Toy, tmp_path: Path
) -> None:
    from flows.deployed import deployed

    origin = tmp_path / "origin"
    new.call("git", "clone", "--quiet", "--bare", str(new.path), str(origin))
    new.call("git", "remote", "add", "origin", str(origin))
    new.dvc("remote", "add", "--default", "store", "s3://temper/runs")
    new.dvc("remote", "modify", "store", "endpointurl", bucket.url)
    Path("infra").mkdir()
    Path("infra/stages.yaml").write_text("share: {retries: 0}\n")
    new.call("git", "add", "--all")
    new.call("git", "commit", "--quiet", "--message", "store")
    new.call("git", "push", "--quiet", "origin", "HEAD")

    bucket.gate.write_text("5")
    state: Any = deployed(return_state=True)
    assert state.name == "NotShared", state
    kept = state.message.split("the experiment ")[1].split()[0]
    assert new.call("git", "ls-remote", str(origin), f"refs/exps/*/{kept}") == ""
    bucket.gate.unlink()
    assert bucket.objects() == 5
    paid = (new.gate / "paid").read_text()

    again: Any = deployed(return_state=True)
    assert again.name == "Completed", again
    facts = again.result()
    assert set(facts["stages"].values()) == {"restored"}
    assert (new.gate / "paid").read_text() == paid
    shared = facts["experiment"]
    assert bucket.objects() > 5

    new.call("git", "clone", "--quiet", str(origin), str(tmp_path / "clone"))
    clone = Toy(tmp_path / "clone", new.environment["PREFECT_API_URL"])
    clone.dvc("exp", "pull", "--run-cache", "origin", shared)
    clone.dvc("exp", "apply", shared)
    assert "up to date" in clone.dvc("status")
    output = clone.dvc("repro")
    assert output.count("didn't change") == len(STAGES)
    assert "Running" not in output
    for text in (new.call("git", "log", "--all", "--patch"), new.path.joinpath(".dvc/config").read_text()):
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in text
