"""What is published: a wheel and an archive that hold the same, run anywhere, and say so where a name is taken."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.plan import own_packages
from tasks.core.errors import MachineError
from tests.flows.project import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True)
class Installed:
    """A folder into which the wheel was installed, without what it needs: that comes from this environment."""

    folder: Path
    wheel: Path

    def temper(self, *words: str, cwd: Path, first: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """The command in `cwd`; `first` comes before everything else on Python's path."""
        path = os.pathsep.join([*([str(first)] if first else []), str(self.folder)])
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "80"}
        command = [str(self.folder / "bin/temper"), *words]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def build(kind: str, source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder, out = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("wheel")
    wheel = build("wheel", ROOT, out)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-index"]
    subprocess.run([*uv, "--python", sys.executable, "--target", str(folder), str(wheel)], check=True)
    return Installed(folder, wheel)


def taken(folder: Path, name: str) -> Path:
    """A package of somebody else in `folder`, which nobody may import."""
    package = folder / name / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text("raise SystemExit('somebody else was imported')\n")
    return package


def test_the_archive_makes_the_same_wheel(installed: Installed, tmp_path: Path) -> None:
    archive = build("sdist", ROOT, tmp_path / "archive")
    assert archive.name == f"temper-{VERSION}.tar.gz"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    top = tmp_path / f"temper-{VERSION}"
    assert {path.name for path in top.iterdir()} == {
        *("flows", "tasks", "temper.py", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO"),
        ".gitignore",
    }
    again = build("wheel", top, tmp_path / "again")
    assert again.name == installed.wheel.name
    assert again.read_bytes() == installed.wheel.read_bytes()


def test_what_is_installed_runs_in_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    assert installed.temper("--version", cwd=tmp_path).stdout == f"temper {VERSION}\n"
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "stop web", "completion": "docker stop web"}\n')
    look = installed.temper("look", rows.name, cwd=tmp_path)
    assert (look.returncode, look.stderr) == (0, "")
    assert "1 row" in look.stdout
    run = installed.temper("run", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "no dvc.yaml and no params.yaml here" in run.stderr
    assert list(tmp_path.iterdir()) == [rows]


def test_the_changelog_has_a_date_for_the_version() -> None:
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert any(re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", head) for head in heads), heads


@pytest.mark.parametrize("name", ["flows", "tasks"])
def test_packages_of_the_same_name_are_in_nobodys_way_where_one_works(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    taken(tmp_path, name)
    (tmp_path / "rows.csv").write_text("text,label\nmy card is lost,lost\n")
    look = installed.temper("look", "rows.csv", cwd=tmp_path)
    assert (look.returncode, look.stderr) == (0, "")


@pytest.mark.parametrize("name", ["flows", "tasks"])
def test_packages_of_the_same_name_that_come_first_are_named(installed: Installed, tmp_path: Path, name: str) -> None:
    other = taken(tmp_path / "other", name)
    run = installed.temper("--version", cwd=tmp_path, first=tmp_path / "other")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        f"temper: Python takes {other} for {name}, a package of temper; take what holds it off PYTHONPATH, or install "
        "temper into an environment of its own.\n"
    )
    other.unlink()  # without an initialiser it gives way to ours
    assert installed.temper("--version", cwd=tmp_path, first=tmp_path / "other").returncode == 0


@pytest.mark.parametrize("file", ["tasks/__init__.py", "tasks.py", "flows/__init__.py", "flows.py"])
def test_a_project_whose_stages_would_be_somebody_elses_is_refused(tmp_path: Path, file: str) -> None:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    if file.startswith("flows"):
        (tmp_path / "tasks").mkdir()
        shutil.copy(ROOT / "tasks/stages.py", tmp_path / "tasks/stages.py")
    own_packages.check(ROOT)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(MachineError, match=rf"^{re.escape(file)} here is not temper's.*rename it"):
        own_packages.check(tmp_path)


def test_a_project_without_the_code_of_its_stages_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages:\n  one:\n    cmd: python mine.py\n")
    own_packages.check(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "tasks").mkdir()
    with pytest.raises(
        MachineError, match=r"^dvc\.yaml runs temper's stages, .*the folder tasks, is not here; restore"
    ):
        own_packages.check(tmp_path)


IN_A_PROJECT = {
    "flows/deploy/deployments.py",
    "flows/release/upgrade.py",
    "tasks/__main__.py",
    "tasks/generate/child.py",
    "tasks/training/torchrun.py",
}
"""Files that start our modules in a project's folder only, of which `own_packages` has asked whose they are."""

OTHERS = {"dvc", "prefect", "vllm.entrypoints.cli.main"}
"""Modules of others that are started."""


def test_our_modules_start_anywhere_without_looking_into_the_current_folder() -> None:
    strays = set()
    for file in [*(ROOT / "flows").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.List):
                words = {item.value for item in node.elts if isinstance(item, ast.Constant)}
                if (
                    "-m" in words
                    and not {"dvc", "prefect", "vllm.entrypoints.cli.main"} & {*words}
                    and "-P" not in words
                ):
                    strays.add(str(file.relative_to(ROOT)))
    assert strays == IN_A_PROJECT
