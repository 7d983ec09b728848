"""What the project declares, what it imports, what is locked and what is installed are the same."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [
    canonicalize_name(Requirement(line).name)
    for extra, lines in PROJECT["optional-dependencies"].items()
    for line in lines
    if extra != "dev"
]
"""Packages that may be missing; a module of theirs has the start of the name."""
OURS = {"benchmarks", "flows", "tasks", "tests"}
PEERS = {
    "tasks": {"conversion"},  # in tasks/models/gguf/converter.zip
    "benchmarks": {
        *("datasketch", "datatrove", "duckdb", "FastSketchLSH", "gaoya", "polars", "rensa"),
        *("datafog", "detect_secrets", "presidio_analyzer", "scrubadub", "tldextract"),
    },
}
"""What benchmarks compare with, in an environment of its own, and what an archive of ours holds."""


def locked(name: str) -> dict[str, str]:
    """Distribution -> version of a lock file."""
    pins = re.findall(r"^([\w.-]+)(?:\[.*])?==(\S+)$", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(distribution): pin for distribution, pin in pins}


def imported(package: str) -> set[str]:
    """Top-level names of other people's modules that a package of ours imports anywhere."""
    names: set[str] = set()
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - OURS - sys.stdlib_module_names


@pytest.mark.parametrize("package", ["flows", "tasks", "benchmarks"])
def test_every_import_is_declared(package: str) -> None:
    names = imported(package)
    assert names
    distributions = packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in DECLARED}
    undeclared = {
        name
        for name in names
        if declared.isdisjoint(canonicalize_name(found) for found in distributions.get(name, []))
        and not any(extra.startswith(canonicalize_name(name)) for extra in EXTRAS)
    }
    assert undeclared <= PEERS.get(package, set())


def test_lock_holds_every_dependency_within_its_bounds() -> None:
    pins = locked("requirements.lock")
    for requirement in DECLARED:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_what_is_installed_is_what_is_locked() -> None:
    pins = {**locked("requirements.lock"), **locked("requirements-dev.lock")}
    assert len(pins) > 100
    installed = {name: version(name).split("+")[0] for name in pins}  # a CPU build of torch calls itself 2.13.0+cpu
    assert installed == pins


def test_locks_do_not_overlap() -> None:
    assert locked("requirements.lock").keys().isdisjoint(locked("requirements-dev.lock"))
