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

from flows.plan import machine
from tests.imports import statements

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
OURS = {"benchmarks", "flows", "tasks", "temper", "tests"}
PEERS = {
    "tasks": {
        "conversion",  # in tasks/models/gguf/converter.zip
        "vllm",  # of users with a card; it pins libraries of its own
    },
    "benchmarks": {
        *("datasketch", "datatrove", "duckdb", "FastSketchLSH", "gaoya", "polars", "rensa"),
        *("datafog", "detect_secrets", "presidio_analyzer", "scrubadub", "tldextract"),
        *("axolotl", "lighteval", "litgpt", "llamafactory", "mergekit", "omegaconf", "torchtune"),
        "playwright",
    },
}
"""What benchmarks compare with, in an environment of its own, or look with; and what an archive of ours holds."""


PYTHONS = [
    tag.rsplit(" ", 1)[1]
    for tag in PROJECT["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", tag)
]


def locked(name: str, python: str = "") -> dict[str, str]:
    """Distribution -> version of a lock file, for this machine; `python` as "3.12" is another than this one."""
    lines = (line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#"))
    pins = [Requirement(line) for line in lines]
    there = {"python_version": python, "python_full_version": f"{python}.9"} if python else {}
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(there)]
    versions: dict[str, str] = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in here}
    assert len(versions) == len(here), f"{name} has two versions of one distribution for one machine"
    return versions


def imported(package: str) -> set[str]:
    """Top-level names of other people's modules that a package of ours imports anywhere."""
    names: set[str] = set()
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in statements(ast.parse(file.read_text()).body):
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
        if declared.isdisjoint(canonicalize_name(distribution) for distribution in distributions.get(name, []))
        and not any(extra.startswith(canonicalize_name(name)) for extra in EXTRAS)
    }
    assert undeclared <= PEERS.get(package, set())


def test_lock_holds_every_dependency_within_its_bounds() -> None:
    pins = locked("requirements.lock")
    for requirement in DECLARED:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_every_python_that_is_promised_has_the_same_versions() -> None:
    assert PYTHONS == ["3.11", "3.12", "3.13"] == list(machine.PYTHONS)
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    versions = [locked("requirements.lock", python) for python in PYTHONS]
    for requirement in DECLARED:
        (version,) = {pins[canonicalize_name(requirement.name)] for pins in versions}
        assert requirement.specifier.contains(version), requirement
    shared = set.intersection(*({*pins} for pins in versions))
    assert all(len({pins[name] for pins in versions}) == 1 for name in shared)
    assert set.union(*({*pins} for pins in versions)) - shared == {"pendulum", "tzdata", "whenever"}  # Prefect's


def test_what_is_installed_is_what_is_locked() -> None:
    pins = {**locked("requirements.lock"), **locked("requirements-dev.lock")}
    assert len(pins) > 100
    installed = {name: version(name).split("+")[0] for name in pins}  # a CPU build of torch calls itself 2.13.0+cpu
    assert installed == pins


LEFT_OUT = re.compile(r"^(cuda|nvidia|triton)|sys_platform == '(win32|emscripten)'")
"""What `make lock` leaves out of requirements.lock: torch pins it itself, or it is for other systems."""


def test_the_lock_with_hashes_has_the_same_versions_and_a_hash_for_each() -> None:
    lines = (ROOT / "requirements-hashes.lock").read_text().replace("\\\n", " ").splitlines()[2:]
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}\b", line) for line in lines)
    pins = {line.partition(" --hash")[0].strip() for line in lines}
    plain = {line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")}
    assert plain <= pins
    assert not [pin for pin in pins - plain if not LEFT_OUT.search(pin)]


def test_what_builds_the_documentation_is_locked_within_its_bounds() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    pins = locked("requirements-docs.lock")
    for requirement in map(Requirement, groups["docs"]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_locks_do_not_overlap() -> None:
    assert locked("requirements.lock").keys().isdisjoint(locked("requirements-dev.lock"))
