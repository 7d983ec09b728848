"""The README in a fresh checkout, as a newcomer follows it, on the small configuration; then what is promised of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from benchmarks.checkout import HERE, Checkout, checkout
from benchmarks.server import ask
from flows.server.connect import answers
from tests import shared
from tests.flows.project import until

pytestmark = pytest.mark.timeout(1800)  # the fixture follows the whole README, and counts as part of its first test

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""What a newcomer types one after the other. Blocks marked `bash` need rows, runs or servers that the default has not;
what they say is run by tests/test_alignment.py, tests/tasks/audit/test_page.py, tests/flows/cli/test_promote.py,
test_deployed.py, test_sweep.py and tests/tasks/serve."""

ELSEWHERE = {
    "make test": "is running this",
    "make ui": "has its own test",
    "temper run --recipe recipes/stories260k-docker.yaml": "is in the long tier",
}
"""Commands of the README that are not run in the order of the page, each with where it is run."""


def commands() -> list[str]:
    """Every command line of the README's shell blocks."""
    return [line for block in BLOCK.findall((HERE / "README.md").read_text()) for line in block.splitlines() if line]


def installed(place: Checkout) -> None:
    """Let `make` and `temper` find the versions that are installed here, and the code of the checkout.

    Nothing is installed anew: with stamps of its own `make` cannot point this environment at the checkout.
    """
    venv = place.root / ".venv"
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        (venv / entry.name).symlink_to(entry)
    for stamp in (".uv", ".run", ".dev"):
        (venv / stamp).unlink(missing_ok=True)
        (venv / stamp).touch()
    place.environment["PYTHONPATH"] = str(place.root)


CHANGE = "temper run --set train.learning_rate=2e-3"
"""The command of the README whose training is killed in the middle, and which then goes on."""


@pytest.fixture(scope="module")
def followed(api: str) -> Iterator[tuple[Checkout, dict[str, str]]]:
    """A checkout in which the README was followed, and what each command wrote."""
    with checkout(full=False, server=api) as place:
        installed(place)
        place.run("git", "config", "user.name", "temper")
        place.run("git", "config", "user.email", "temper@localhost")
        outputs = {}
        for command in commands():
            if command == CHANGE:
                outputs["killed"] = killed_in_training(place, command)
            if command not in ELSEWHERE:
                outputs[command] = said_by(place, command)
        yield place, outputs


def killed_in_training(place: Checkout, command: str) -> str:
    """Run it until the stage `train` has a checkpoint, and kill that stage's process; what the command said then."""
    before = lock(place)["train"]
    run = subprocess.Popen(
        command, shell=True, cwd=place.root, env=place.environment, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: run.poll() is not None or sealed(place))
    stage = next(child for child in psutil.Process(run.pid).children(recursive=True) if "train" in child.cmdline())
    os.kill(stage.pid, signal.SIGKILL)
    output = run.communicate()[1]
    assert run.returncode == 1, output
    assert lock(place)["train"] == before
    assert sealed(place)
    return output


def said_by(place: Checkout, command: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=place.root, env=place.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"`{command}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def lock(place: Checkout) -> dict[str, dict[str, object]]:
    return dict(YAML(typ="safe").load((place.root / "dvc.lock").read_text())["stages"])


def sealed(place: Checkout) -> list[Path]:
    """Complete checkpoints of the stage `train`."""
    return list((place.root / "data").glob("scratch/train-*/checkpoint-*/manifest.json"))


def test_every_command_of_the_readme_is_run_somewhere() -> None:
    assert set(ELSEWHERE) < set(commands())
    assert len(commands()) > len(ELSEWHERE) + 5


def test_the_first_command_ends_with_table_report_and_what_to_type_next(
    followed: tuple[Checkout, dict[str, str]],
) -> None:
    place, outputs = followed
    for word in ("base_few_shot", "adapter", "merged", "int8", "95 %", "data/report/report.html", "Next:"):
        assert word in outputs["make run"]
    assert "Traceback" not in "".join(outputs.values())
    assert (place.root / "data/report/report.html").stat().st_size > 10_000


def test_one_changed_parameter_runs_train_and_what_is_below(followed: tuple[Checkout, dict[str, str]]) -> None:
    _, outputs = followed
    output = outputs[CHANGE]
    for stage in ("base", "generate", "clean", "template", "evaluate-base", "evaluate-few-shot"):
        assert re.search(rf"{stage}\b.*(unchanged|cached)", output, re.IGNORECASE), output
    assert "params.yaml: train.learning_rate 0.005 -> 0.002" in outputs["killed"]


def test_training_killed_in_the_middle_is_named_and_goes_on(followed: tuple[Checkout, dict[str, str]]) -> None:
    place, outputs = followed
    assert "train was killed by SIGKILL." in outputs["killed"]
    url = place.environment["PREFECT_API_URL"]
    pages = (ask(url, "logs/filter", limit=200, offset=200 * page) for page in range(50))
    assert any("from checkpoint-" in line["message"] for page in pages for line in page), "it started over"


def test_after_the_flow_dvc_runs_nothing(followed: tuple[Checkout, dict[str, str]]) -> None:
    _, outputs = followed
    assert "Running stage" not in outputs["dvc repro"]
    assert "Data and pipelines are up to date." in outputs["dvc repro"]


@pytest.mark.parametrize(
    "only", [pytest.param("train", id="the weights"), pytest.param("", id="all", marks=pytest.mark.long)]
)
def test_the_other_driver_in_another_folder_makes_the_same_bytes(
    only: str, followed: tuple[Checkout, dict[str, str]]
) -> None:
    """Those of a flow whose training was killed, and those of a `dvc repro` that nothing disturbed.

    The stage `only` has the same files before it; all stages begin with those of the repository.
    """
    place, _ = followed
    with checkout(full=False) as other:
        shutil.copy(place.root / "params.yaml", other.root / "params.yaml")
        if only:
            left_out = shutil.ignore_patterns("trained", "scratch")
            shutil.copytree(place.root / "data", other.root / "data", ignore=left_out, dirs_exist_ok=True)
        other.run("dvc", "repro", *(("--single-item", only) if only else ()))
        stages, before = lock(other), lock(place)
        assert stages.keys() == ({only} if only else before.keys())
        assert stages == {name: before[name] for name in stages}


def listening(pid: int) -> set[str]:
    """The addresses at which a process and its children wait for connections."""
    return {
        connection.laddr.ip
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def test_the_page_that_make_ui_starts_answers_on_this_machine_only(
    api: str, followed: tuple[Checkout, dict[str, str]]
) -> None:
    """All tests share a server that `temper ui` has started, at a port of its own."""
    place, _ = followed
    assert said_by(place, "make --dry-run ui").splitlines()[-1] == ".venv/bin/temper ui"
    assert answers(api)
    assert listening(shared.server_process()) == {"127.0.0.1"}


@pytest.mark.long
def test_make_ui_starts_it_at_port_4200(followed: tuple[Checkout, dict[str, str]]) -> None:
    place, _ = followed
    page = "http://127.0.0.1:4200/api"
    if answers(page):
        pytest.skip("a Prefect server runs at port 4200 already")
    server = subprocess.Popen(
        ["make", "ui"],
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: server.poll() is not None or answers(page))
        assert server.poll() is None
        assert listening(server.pid) == {"127.0.0.1"}
    finally:
        for process in [*psutil.Process(server.pid).children(recursive=True), server]:
            process.terminate()
        server.communicate()


@pytest.mark.long
@pytest.mark.skipif(not (HERE.parent / "shared/data").is_dir(), reason="the public data are not at ../shared/data")
def test_a_public_model_learns_public_data_by_the_recipe_of_the_readme(api: str) -> None:
    with checkout(full=True, server=api) as place:
        installed(place)
        (place.root.parent / "shared").symlink_to(HERE.parent / "shared")
        said_by(place, "temper run --recipe recipes/stories260k-docker.yaml")
        scores = json.loads((place.root / "data/report/comparison.json").read_text())["candidates"]
        assert scores["base"]["exact_match"]["value"] <= 0.05
        assert scores["merged"]["exact_match"]["value"] >= 0.375
        assert scores["merged"]["exact_match"]["n"] == 275
