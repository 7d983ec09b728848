"""Copies of the toy project, fresh or finished."""

import io
import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests import shared
from tests.flows.project import ROOT, TOY, Toy

if TYPE_CHECKING:
    from tests.flows.machines import Machines
    from tests.flows.site import Site


def pytest_configure(config: pytest.Config) -> None:
    """Let pass what the libraries underneath warn of, not ours to mend."""
    config.addinivalue_line("filterwarnings", r"ignore:_NoneStep\.value will soon:DeprecationWarning")  # dvc, pygtrie
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # shells start what runs in the background deaf to Ctrl-C, and children would be so, too
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What a test changes in the environment for Prefect's clients would fail others, far from it: it fails itself."""
    before = _for_prefect()
    yield
    after = _for_prefect()
    for name in before.keys() | after.keys():
        os.environ.pop(name, None)
    os.environ.update(before)
    assert after == before, "the test leaves another environment behind; run the command in a process of its own"


def _for_prefect() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in {"HOME", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "XDG_STATE_HOME"}
    }


@pytest.fixture(scope="session")
def fresh(api: str) -> Path:
    """The toy as after `git clone` and `dvc init`: nothing has run. To be copied."""
    return shared.once("fresh", lambda path: _cloned(Toy(path, api)))


def _cloned(toy: Toy) -> None:
    path = toy.path
    shutil.copy(TOY / "work.py", path)
    shutil.copy(TOY / "stages.yaml", path / "dvc.yaml")  # under its real name DVC would take it for a part of temper's
    params = (ROOT / "params.yaml").read_text()
    assert "\n  dtype: base" in params, "the section merge has its key dtype"
    # DVC wants a key that is tracked by itself to be in the file, and `merge.probes` has a default that is left out
    (path / "params.yaml").write_text(params.replace("\n  dtype: base", "\n  probes: 16\n  dtype: base", 1))
    for name, text in (("data/seed/seed.txt", "seed\n"), ("code/trainer.py", "x = 1\n")):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    shutil.copy(ROOT / "data/.gitignore", path / "data/.gitignore")
    toy.call("git", "init", "--quiet")
    toy.dvc("init", "--quiet")
    toy.call("git", "add", "--all")
    toy.call("git", "commit", "--quiet", "--message", "toy")


@pytest.fixture(scope="session")
def finished(fresh: Path, api: str) -> Path:
    """The toy after a first run of the flow, committed. To be copied."""
    return shared.once("finished", lambda path: _run(fresh, Toy(path, api)))


def _run(fresh: Path, toy: Toy) -> None:
    shutil.copytree(fresh, toy.path, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(toy.path)
        assert set(toy.flow().values()) == {"ran"}
    toy.call("git", "add", "--all")
    toy.call("git", "commit", "--quiet", "--message", "run")


@pytest.fixture
def new(fresh: Path, api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A toy in which nothing has run."""
    return _copy(fresh, api, tmp_path, monkeypatch)


@pytest.fixture
def toy(finished: Path, api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A toy in which everything has run."""
    return _copy(finished, api, tmp_path, monkeypatch)


@pytest.fixture
def stages_asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages are asked in this process, which has loaded their libraries; else that is done in one of its own."""
    from tasks import validate

    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        if "tasks.validate" not in command:
            return subprocess.run(command, **options)
        output, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as its option has it
            for name, value in options["env"].items():
                patch.setenv(name, value)
            with redirect_stdout(output), redirect_stderr(errors):
                code = validate.main(command[command.index("tasks.validate") + 1 :])
        return subprocess.CompletedProcess(command, code, output.getvalue(), errors.getvalue())

    monkeypatch.setattr("flows.system.process.subprocess", SimpleNamespace(**{**vars(subprocess), "run": run}))


@pytest.fixture(scope="session")
def site(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Site"]:
    """The finished toy, deployed, with a worker at work."""
    from tests.flows.site import deployed

    with deployed(finished, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def machines(
    fresh: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator["Machines"]:
    """Two machines with the policies that the file of the tests has as `POLICIES`."""
    from tests.flows.machines import two_machines

    with two_machines(fresh, tmp_path_factory.mktemp("machines"), request.module.POLICIES) as machines:
        yield machines


@pytest.fixture
def held(site: "Site") -> Iterator[Callable[[str], Path]]:
    """Make stages of the deployed toy wait; they are let go after the test in any case."""
    yield site.toy.hold
    for gate in site.toy.gate.glob("hold-*"):
        gate.unlink()


def _copy(source: Path, api: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    path = folder / "toy"
    shutil.copytree(source, path)
    monkeypatch.chdir(path)
    toy = Toy(path, api)
    monkeypatch.setenv("TOY_GATE", str(toy.gate))
    return toy
