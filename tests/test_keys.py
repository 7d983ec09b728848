"""Every key of params.yaml is read by its stage, and the pages and files that name the keys are true."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from flows.params.model import model
from flows.params.reference import PAGE, page
from tasks.core.declaration import Stage
from tasks.core.settings import models_in, outdated
from tasks.stages import stages
from tests.flows.project import ROOT
from tests.imports import closure

SCREEN = 52
"""Lines that a terminal or an editor shows at once."""


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those that its keys hold."""
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from models(inner)


BY_NAME = {
    "Privacy": "tasks/clean/privacy/step.py reads the action of each kind of finding by the kind's name",
    "Splits": "tasks/clean/files.py reads the patterns of each split by the split's name",
}
"""Sections whose keys are read by names that are computed, and where."""

TOLD = {"Teacher.licence": "stated with every teacher; the model card tells that of the one who made rows"}
"""Keys that change what is told, in other stages than those that have them."""

VALIDATORS = {"field_validator", "model_validator"}


@cache
def read(file: Path) -> frozenset[str]:
    """Names of attributes that `file` and the templates beside it read; checks of settings do not count."""
    tree = ast.parse(file.read_text())
    checks = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and any(_name(one) in VALIDATORS for one in function.decorator_list)
        for node in ast.walk(function)
    }
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and id(node) not in checks}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            names |= {str(part.value) for part in node.args[1:2] if isinstance(part, ast.Constant)}
    for template in (file.parent / "templates").glob("*.jinja"):
        names |= set(re.findall(r"settings\.(\w+)", template.read_text()))
    return frozenset(names)


def _name(decorator: ast.expr) -> str:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return call.id if isinstance(call, ast.Name) else ""


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.name)
def test_every_key_is_read_by_the_code_of_its_stage(stage: Stage) -> None:
    """What is listed and read nowhere would be a setting without effect."""
    names = {entry.foreach.partition(".")[2] for entry in stage.entries}.union(*map(read, closure(stage.name)))
    dead = {
        f"{one.__name__}.{key}"
        for one in models(stage.settings)
        for key in one.model_fields
        if key not in names and one.__name__ not in BY_NAME and f"{one.__name__}.{key}" not in TOLD
    }
    assert not dead, f"{stage.name}: nothing reads {sorted(dead)}"


def test_the_page_of_keys_is_what_the_models_say() -> None:
    assert (ROOT / PAGE).read_text() == page(), "run python -m flows.params"


def test_what_a_newcomer_sets_is_on_the_first_screen() -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    assert next(number for number, line in enumerate(lines) if line.startswith("# ---- The rest")) <= SCREEN
    assert len(lines) <= 2 * SCREEN


def test_keys_of_older_files_go_on_working_and_are_named(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    file.write_text(
        text.replace('  objective: "off"', '  group_by_length: false\n  padding_free: auto\n  objective: "off"')
    )
    values = YAML(typ="safe").load(file)
    assert model().model_validate(values) == model().model_validate(YAML(typ="safe").load(text))
    line = file.read_text().splitlines().index("  group_by_length: false") + 1
    assert outdated(model(), file) == [
        f"{file}:{line}: align.group_by_length never had an effect and is no longer read; remove it.",
        f"{file}:{line + 1}: align.padding_free never had an effect and is no longer read; remove it.",
    ]
    values["align"]["group_by_length"] = True
    with pytest.raises(ValidationError, match=r"align\.group_by_length"):
        model().model_validate(values)
