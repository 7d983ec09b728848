"""dvc.yaml says of every stage what it needs: its command, its code, its parameters."""

import ast
import importlib
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.flows.project import ROOT

DECLARED: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PARAMS: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
BODIES = {name: declared.get("do", declared) for name, declared in DECLARED.items()}
ITEMS = {"quantize": {"schemes"}, "export": {"formats"}, "evaluate": {"models", "hosted"}, "judge": {"candidates"}}
"""By stage: keys that say what its items are. That is in the command; an item depends on its own alone."""
TASKS = sorted((ROOT / "tasks").rglob("*.py"))
FLOWS = sorted((ROOT / "flows").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Modules that `file` imports, anywhere in it, as dotted names; `from a import b` is a.b where that is a module."""
    names = set()
    package = ".".join(file.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            parts = [f"{module}.{alias.name}" for alias in node.names]
            names |= {part if any(ROOT.glob(f"{part.replace('.', '/')}*")) else module for part in parts}
    return names


def closure(stage: str) -> set[Path]:
    """The files of `tasks` that the package of `stage` needs, itself included.

    Another stage's `__init__.py`, passed on the way to a module below it, is not one: it holds settings and `run`.
    """
    found: set[Path] = set()
    waiting = [ROOT / "tasks/__main__.py", *(ROOT / "tasks" / stage).rglob("*.py")]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for name in imported(file):
            place = ROOT / name.replace(".", "/")
            if name.split(".")[0] == "tasks":
                waiting += [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()]
    return found


@pytest.mark.parametrize("name", BODIES)
def test_the_command_is_the_stage(name: str) -> None:
    python, module, package, stage, *item = shlex.split(BODIES[name]["cmd"])
    assert (python, module, package) == ("python", "-m", "tasks")
    assert name.split("-")[0] == stage
    assert len(item) == (stage in {"quantize", "evaluate", "export", "judge"})


@pytest.mark.parametrize("name", BODIES)
def test_the_code_that_a_stage_imports_is_a_dependency(name: str) -> None:
    body = BODIES[name]
    declared = [ROOT / path for path in body["deps"] if path.startswith("tasks")]
    missing = {
        str(file.relative_to(ROOT))
        for file in closure(body["cmd"].split()[3])
        if not any(file == path or path in file.parents for path in declared)
    }
    assert not missing, f"{name} imports {sorted(missing)}: add them to its deps in dvc.yaml"
    assert "requirements.lock" in body["deps"]


@pytest.mark.parametrize("name", BODIES)
def test_dependencies_are_sorted_and_code_exists(name: str) -> None:
    deps = BODIES[name]["deps"]
    assert deps[1:] == sorted(deps[1:]) or deps == sorted(deps)
    assert all((ROOT / path).exists() for path in deps if path.startswith("tasks"))


@pytest.mark.parametrize("name", BODIES)
def test_parameters_exist_and_are_those_of_the_settings(name: str) -> None:
    body = BODIES[name]
    stage = body["cmd"].split()[3]
    for key in body.get("params", []):
        section, _, field = key.partition(".")
        assert section in PARAMS, f"{name}: params.yaml has no section {section}"
        fields = set(importlib.import_module(f"tasks.{section}").Settings.model_fields)
        assert set(PARAMS[section] or {}) == fields, f"params.yaml lists every key of {section}"
        assert not field or field.partition(".")[0] in fields
    own = {key.partition(".")[2] for key in body.get("params", []) if key.partition(".")[0] == stage}
    fields = set(importlib.import_module(f"tasks.{stage}").Settings.model_fields)
    items = ITEMS.get(stage, set())
    assert own == {""} or {key.partition(".")[0] for key in own} - items == fields - items
    assert not items & own


@pytest.mark.parametrize("folder", sorted({path for body in BODIES.values() for path in body["deps"]}))
def test_a_folder_of_items_is_there_when_there_are_none(folder: str) -> None:
    """`quantize.schemes: []` must not leave the report without data/quantized."""
    made = {out if isinstance(out, str) else next(iter(out)): "do" in DECLARED[name]
            for name, body in BODIES.items() for out in [*body.get("outs", []), *body.get("metrics", [])]}  # fmt: skip
    inside = [of_items for out, of_items in made.items() if Path(folder) in Path(out).parents]
    if inside and all(inside):
        assert list((ROOT / folder).glob("README.md")), f"{folder} needs a file in git"


@pytest.mark.parametrize("file", TASKS, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_stages_know_neither_orchestrator_nor_dvc(file: Path) -> None:
    assert not {name.split(".")[0] for name in imported(file)} & {"prefect", "dvc", "dvc_data", "flows"}


def test_only_the_bridge_touches_dvc() -> None:
    touching = {file.parent.name for file in FLOWS if "dvc" in {name.split(".")[0] for name in imported(file)}}
    assert touching == {"stage"}


def test_the_flows_hold_no_machine_learning() -> None:
    heavy = {"torch", "transformers", "trl", "peft", "datasets", "pandas", "numpy", "pyarrow", "matplotlib"}
    for file in FLOWS:
        assert not {name.split(".")[0] for name in imported(file)} & heavy, file


def test_settings_import_nothing_heavy() -> None:
    import subprocess
    import sys

    program = (
        "import sys, flows.settings; "
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'prefect', 'dvc', 'distilabel'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
