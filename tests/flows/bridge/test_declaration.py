"""dvc.yaml and the declarations of the stages say the same, and each entry's code is what its stage imports."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.core.declaration import Entry, Stage
from tasks.stages import entries, stages
from tests.flows.project import ROOT
from tests.imports import closure, imported

DECLARED: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PARAMS: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
BODIES = {name: declared.get("do", declared) for name, declared in DECLARED.items()}
ENTRIES = entries()
TASKS = sorted((ROOT / "tasks").rglob("*.py"))
FLOWS = sorted((ROOT / "flows").rglob("*.py"))
LOCK = "requirements.lock"


def outputs(body: dict[str, Any], key: str, **flags: bool) -> set[str]:
    """Paths under `key` (outs, metrics) that have these flags and no others."""
    each = [next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in body.get(key, [])]
    return {path for path, declared_flags in each if declared_flags == flags}


def code(body: dict[str, Any]) -> list[str]:
    return [path for path in body["deps"] if path.startswith("tasks/")]


def test_dvc_yaml_has_an_entry_for_each_that_is_declared_and_no_other() -> None:
    assert set(DECLARED) == set(ENTRIES)


@pytest.mark.parametrize("name", BODIES)
def test_an_entry_is_what_the_stage_declares(name: str) -> None:
    stage, entry = ENTRIES[name]
    body = BODIES[name]
    assert shlex.split(body["cmd"]) == ["python", "-m", "tasks", stage.name, *([entry.item] if entry.item else [])]
    assert DECLARED[name].get("foreach", "") == (f"${{{entry.foreach}}}" if entry.foreach else "")
    assert set(body["deps"]) - set(code(body)) == {*map(str, entry.inputs), LOCK}
    assert outputs(body, "outs") == {*map(str, entry.outputs)}
    assert outputs(body, "outs", persist=True) == {*map(str, entry.records)}
    assert outputs(body, "metrics", cache=False) == {*map(str, entry.metrics)}
    assert len(body.get("outs", [])) == len(entry.outputs) + len(entry.records)
    assert len(body.get("metrics", [])) == len(entry.metrics)
    assert sorted(body["params"]) == sorted(entry.params or [stage.name])


@pytest.mark.parametrize("name", BODIES)
def test_the_code_of_an_entry_is_what_its_stage_imports(name: str) -> None:
    """What is missing would leave a stage stale; what is too much would run it again for nothing."""
    stage, _ = ENTRIES[name]
    needed = {file for file in closure(stage.name) if file.name != "__init__.py"}
    declared = {
        file
        for path in map(ROOT.joinpath, code(BODIES[name]))
        for file in (path.rglob("*.py") if path.is_dir() else [path])
        if file.name != "__init__.py"
    }
    mismatches = [f"{name} imports {file.relative_to(ROOT)}: add it" for file in sorted(needed - declared)]
    others = sorted(file for file in declared - needed if file.suffix == ".py")
    mismatches += [f"{name} does not import {file.relative_to(ROOT)}: remove it" for file in others]
    assert not mismatches, "the deps in dvc.yaml: " + "; ".join(mismatches)
    assert all((ROOT / path).exists() for path in code(BODIES[name]))


def test_initialisers_hold_a_docstring_only() -> None:
    """They are no dependency, so nothing may depend on them, except those in the room of the stage itself."""
    import ast

    for file in TASKS:
        if file.name != "__init__.py" or all(isinstance(node, ast.Expr) for node in ast.parse(file.read_text()).body):
            continue
        users = {
            name for name, text in BODIES.items()
            if file in closure(ENTRIES[name][0].name)
            and not any(ROOT / path in file.parents for path in code(text))
        }  # fmt: skip
        assert not users, f"{file.relative_to(ROOT)} holds code that {sorted(users)} do not declare"


def test_an_edit_reruns_what_it_touches() -> None:
    """The writer of GGUF files is nothing to the base, its training or its evaluation."""
    writer = ROOT / "tasks/models/gguf/convert.py"
    touched = {
        name for name, body in BODIES.items() if any(ROOT / path in (writer, *writer.parents) for path in code(body))
    }
    assert touched == {"quantize", "export"}


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.name)
def test_params_yaml_has_the_keys_that_entries_depend_on(stage: Stage) -> None:
    fields = set(stage.settings.model_fields)
    assert set(PARAMS[stage.name] or {}) <= fields
    items = {entry.foreach.partition(".")[2] for entry in stage.entries if entry.foreach.startswith(f"{stage.name}.")}
    for entry in stage.entries:
        own = _keys(entry, stage.name)
        assert own == {""} or own - items == fields - items
        assert not items & {key for key in own if not any(each in entry.item for each in ("key", "item"))}
        assert not own - {""} or own - items <= set(PARAMS[stage.name]), "DVC wants a key that it tracks to be there"


def _keys(entry: Entry, stage: str) -> set[str]:
    params = entry.params or [stage]
    return {key.split(".")[1] if "." in key else "" for key in params if key.split(".")[0] == stage}


def test_a_folder_of_items_is_there_when_there_are_none() -> None:
    """`quantize.schemes: []` must not leave the report without data/quantized."""
    by_items = {out if isinstance(out, str) else next(iter(out)): "do" in DECLARED[name]
            for name, body in BODIES.items() for out in [*body.get("outs", []), *body.get("metrics", [])]}  # fmt: skip
    for folder in sorted({path for body in BODIES.values() for path in body["deps"]}):
        inside = [of_items for out, of_items in by_items.items() if Path(folder) in Path(out).parents]
        if inside and all(inside):
            assert list((ROOT / folder).glob("README.md")), f"{folder} needs a file in git"


def test_the_stages_know_neither_orchestrator_nor_dvc() -> None:
    for file in TASKS:
        assert not {name.split(".")[0] for name in imported(file)} & {"prefect", "dvc", "dvc_data", "flows"}, file


def test_only_the_bridge_touches_dvc() -> None:
    touching = {
        file.relative_to(ROOT).parts[1] for file in FLOWS if "dvc" in {name.split(".")[0] for name in imported(file)}
    }
    assert touching == {"bridge"}


def test_the_flows_hold_no_machine_learning() -> None:
    heavy = {"torch", "transformers", "trl", "peft", "datasets", "pandas", "numpy", "pyarrow", "matplotlib"}
    for file in FLOWS:
        assert not {name.split(".")[0] for name in imported(file)} & heavy, file


def test_settings_import_nothing_heavy() -> None:
    import subprocess
    import sys

    program = (
        "import sys, flows.params.model; "
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'prefect', 'dvc', 'distilabel'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
