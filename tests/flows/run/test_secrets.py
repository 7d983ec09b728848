"""The stage `generate` in a Prefect run: its key from a Secret, its end with the flow, its record with DVC."""

import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
from prefect.blocks.system import Secret
from ruamel.yaml import YAML

from tasks.core.errors import StageFailed
from tests.flows.project import ROOT, Toy
from tests.tasks.generating import TASKS, lines, settings
from tests.tasks.good_teacher import good
from tests.tasks.teacher_server import Asked, Reply, teacher_server

KEY = "sk-from-the-vault"


@pytest.fixture
def project(api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A project with the one stage, as temper declares it."""
    path = tmp_path / "project"
    (path / "data/tasks").mkdir(parents=True)
    (path / "data/tasks/tasks.yaml").write_text(TASKS)
    (path / "tasks").symlink_to(ROOT / "tasks")
    shutil.copy(ROOT / "data/.gitignore", path / "data/.gitignore")
    stage = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["generate"]
    stage["deps"] = ["${generate.input}"]
    (path / "dvc.yaml").write_text(json.dumps({"stages": {"generate": stage}}))
    project = Toy(path, api)
    project.environment["TEACHER_KEY"] = ""
    monkeypatch.setenv("TEACHER_KEY", "")
    project.call("git", "init", "--quiet")
    project.dvc("init", "--quiet")
    monkeypatch.chdir(path)
    return project


def configure(project: Toy, base_url: str) -> None:
    more = {"instructions": {"each": 3, "evolutions": 0}, "rows": 12, "teacher": {"key_variable": "TEACHER_KEY"}}
    chosen = settings("instructions", base_url, **more)
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    (project.path / "params.yaml").write_text(json.dumps({**params, "generate": chosen.model_dump(mode="json")}))


def pipelines(folder: Path) -> list[psutil.Process]:
    """Processes of pipelines that work below `folder`."""
    every = psutil.process_iter(["cmdline"])
    return [process for process in every if str(folder) in " ".join(process.info["cmdline"] or [])]


def test_the_key_comes_from_a_secret_and_a_cancelled_run_goes_on_where_it_was(
    project: Toy, capfd: pytest.CaptureFixture[str]
) -> None:
    halt, reached, release = [6], threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        if asked.number >= halt[0]:
            reached.set()
            release.wait(60)
        return good(asked)

    with teacher_server(script) as server:
        configure(project, server.base_url)
        with pytest.raises(StageFailed, match=r"variable TEACHER_KEY is not set.*Secret 'teacher-key'"):
            project.flow()
        assert not server.asked
        Secret(value=KEY).save("teacher-key", overwrite=True)
        flow = project.temper("run")
        assert reached.wait(250)  # seconds, so that a run that never asks ends
        started = psutil.Process(flow.pid).children(recursive=True)
        flow.send_signal(signal.SIGTERM)
        cancelled = "".join(flow.communicate())
        _, alive = psutil.wait_procs(started, timeout=30)
        assert alive == []
        release.set()
        halt[0] = 1000
        first = len(server.asked)
        assert project.flow() == {"generate": "ran"}
        assert set(server.keys) == {f"Bearer {KEY}"}
        missing = len(server.asked) - first
        assert missing <= 4 + 12 - 6 + 32  # what was under way when the run was cancelled is asked again
        assert len({json.dumps(asked.body, sort_keys=True) for asked in server.asked[first:]}) == missing
    assert len(lines(project.path / "data/generated/rows.jsonl")) == 12
    written = [path for path in project.path.rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in "".join((cancelled, *capfd.readouterr()))
    before = (project.path / "dvc.lock").read_bytes()
    assert "Running" not in project.dvc("repro")
    clone = project.path.parent / "clone"
    project.call("git", "add", "--all")
    project.call("git", "commit", "--quiet", "--message", "rows")
    subprocess.run(["git", "clone", "--quiet", str(project.path), str(clone)], check=True, env=project.environment)
    other = Toy(clone, project.environment["PREFECT_API_URL"])
    other.dvc("cache", "dir", str(project.path / ".dvc/cache"))
    other.dvc("checkout")
    assert "Running stage" in other.dvc("repro", "--force")  # without server and key: all is on record
    assert (clone / "dvc.lock").read_bytes() == before
    assert pipelines(project.path.parent) == []
