"""What runs outside: workflows call what the Makefile has, actions are GitHub's own, and no job can hang for hours."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.flows.project import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MAKE = re.compile(r"\bmake ((?:[a-z]+\b ?)+)")
ACTIONS = re.compile(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v\d+")
"""By major version: hashes of commits cannot be looked up without a network, and dependabot keeps these fresh."""


def read(file: Path) -> Any:
    return YAML(typ="safe").load(file.read_text())


def jobs(workflow: Path) -> list[dict[str, Any]]:
    return list(read(workflow)["jobs"].values())


def called(text: str) -> set[str]:
    return {target for targets in MAKE.findall(text) for target in targets.split()}


def test_there_is_one_for_each_purpose() -> None:
    assert [file.stem for file in WORKFLOWS] == ["checks", "docs", "newest", "nightly", "release"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_calls_what_is_there(workflow: Path) -> None:
    steps = [step for job in jobs(workflow) for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert all(called(command) <= TARGETS for command in commands), commands
    scripts = {script for command in commands for script in re.findall(r"(?:^|\s)(\.ci/\w+)", command)}
    assert all((ROOT / script).is_file() for script in scripts)
    folders = {name for command in commands for name in re.findall(r"tests/\w+(?=[\s/]|$)", command)}
    assert all((ROOT / folder).is_dir() for folder in folders)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_do_no_more_than_it_must(workflow: Path) -> None:
    assert read(workflow)["permissions"] == {"contents": "read"}
    for job in jobs(workflow):
        assert 0 < job["timeout-minutes"] < 360
        assert all(ACTIONS.fullmatch(step["uses"]) for step in job["steps"] if "uses" in step)


def test_every_python_that_is_promised_is_tried() -> None:
    matrix = read(ROOT / ".github/workflows/checks.yml")["jobs"]["quick"]["strategy"]["matrix"]["python"]
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix == promised


def test_the_nightly_tier_leaves_no_folder_of_tests_out() -> None:
    parts = read(ROOT / ".github/workflows/nightly.yml")["jobs"]["long"]["strategy"]["matrix"]["tests"]
    files = {file for part in parts for pattern in part.split() for file in ROOT.glob(pattern)}
    marked = {file for file in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.long" in file.read_text()}
    assert len(marked) > 10
    assert not [file for file in marked if files.isdisjoint({file, *file.parents})]


def test_what_contributors_are_asked_for_is_there() -> None:
    asked = [".pre-commit-config.yaml", ".github/pull_request_template.md", ".ci/run"]
    assert all(called((ROOT / file).read_text()) <= TARGETS for file in asked)
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text()
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"):
        assert {"name", "description", "body"} <= read(form).keys()


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert f"## {citation['version']} - {citation['date-released']}\n" in (ROOT / "CHANGELOG.md").read_text()
