"""CONTRIBUTING.md: its recipes, done word by word in a copy of the project, give what works; its rooms are there."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.project import ROOT
from tests.tasks import tiny

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TARGET = re.compile(r"# (?P<file>[\w./-]+)(?:, (?P<where>after|before): (?P<line>.+)|, (?P<end>at the end))?")
MOST_FILES = 5
MADE = {"data/lengths/lengths.json", "dvc.lock", "params.schema.json", "docs/params.md", "docs/registries.md"}
"""What a new stage leaves, and what `python -m flows.params` and `-m tests.reference` write: not done by hand."""


@dataclass(frozen=True)
class Step:
    """A fenced block of a recipe."""

    language: str
    body: str

    def do(self, project: "Project") -> None:
        """Run its commands; or write the file that its first line names, or insert the lines where that line says."""
        if self.language == "sh":
            for command in self.body.splitlines():
                project.call(command)
            return
        head, _, text = self.body.partition("\n")
        target = TARGET.fullmatch(head)
        assert target, f"{head!r} does not say which file the block is for"
        file = project.folder / target["file"]
        if not target["where"] and not target["end"]:
            assert not file.exists(), f"{file.name} is there already"
            file.write_text(text)
            return
        lines = file.read_text().splitlines(keepends=True)
        at = len(lines)
        if target["where"]:
            matching = [index for index, line in enumerate(lines) if line.strip().startswith(target["line"])]
            assert matching, f"{target['file']} has no line that starts with {target['line']!r}"
            at = matching[0] + (target["where"] == "after")
        file.write_text("".join([*lines[:at], text, *lines[at:]]))


@dataclass(frozen=True)
class Project:
    """A copy of what git tracks, in a repository of its own."""

    folder: Path

    def call(self, command: str) -> str:
        """Run a line of shell in the copy; return what it printed."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "DVC_NO_ANALYTICS": "1",
        }
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def changed(self) -> set[str]:
        """Files that are new or differ from those that were copied."""
        return {line[3:] for line in self.call("git status --porcelain --untracked-files=all").splitlines()} - MADE


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    copy = Project(folder)
    copy.call("git init -q && git add -A && git -c user.name=new -c user.email=new@localhost commit -qm 'as cloned'")
    return copy


def recipe(title: str) -> list[Step]:
    """The blocks under the heading `title`, in their order."""
    section = TEXT.partition(f"### {title}\n")[2]
    steps = [Step(*block) for block in BLOCK.findall(re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0])]
    assert steps, f"CONTRIBUTING.md has no recipe '{title}'"
    return steps


def follow(title: str, project: Project) -> None:
    for step in recipe(title):
        step.do(project)
    changed = project.changed()
    assert len(changed) <= MOST_FILES, changed
    python = " ".join(file for file in changed if file.endswith(".py"))
    project.call(f"ruff check {python} && ruff format --check {python}")


def test_a_stage(project: Project) -> None:
    import pyarrow.parquet as pq

    (project.folder / "data/clean").mkdir()
    pq.write_table(tiny.rows("train", tiny.conversations()), project.folder / "data/clean/train.parquet")
    follow("Add a stage", project)
    lengths = tiny.read(project.folder / "data/lengths/lengths.json")
    rows = len(tiny.conversations())
    assert (lengths["in"], lengths["out"], lengths["left"]) == (rows, {"counted": rows}, {})
    assert lengths["words"]["p50"] == 5
    assert '"lengths"' in (project.folder / "params.schema.json").read_text()
    assert "Data and pipelines are up to date" in project.call("dvc status lengths")


@pytest.mark.long  # as those below: registries are added to alike
def test_a_metric(project: Project) -> None:
    follow("Add a metric", project)
    assert '"last_number"' in (project.folder / "params.schema.json").read_text()


@pytest.mark.long
def test_a_reward(project: Project) -> None:
    follow("Add a reward", project)
    assert '"brevity"' in (project.folder / "params.schema.json").read_text()


@pytest.mark.long
def test_a_scheme(project: Project) -> None:
    follow("Add a quantisation scheme", project)


@pytest.mark.parametrize("floor", ["tasks", "flows"])
def test_the_rooms_are_those_that_are_named(floor: str) -> None:
    named = TEXT.partition(f"| `{floor}/` | holds |")[2].partition("\n\n")[0]
    files = {file.parent.name for file in (ROOT / floor).glob("*/__init__.py")}
    assert {
        name for row in named.splitlines() for name in re.findall(r"`(\w+)/`", row.split("|")[1] if row else "")
    } == files
