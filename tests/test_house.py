"""The plan of the house: no circle of imports, small rooms, one name for each place, variables named for what they
hold, tests that mirror the tree."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

from tests.flows.project import ROOT
from tests.imports import imported

FLOWS = sorted((ROOT / "flows").rglob("*.py"))
FILES = [*FLOWS, *sorted((ROOT / "tasks").rglob("*.py"))]
OTHERS = [file for top in ("benchmarks", "examples", "tests") for file in sorted((ROOT / top).rglob("*.py"))]
ROOMS = sorted(file.parent for file in FLOWS if file.name == "__init__.py" and file.parent != ROOT / "flows")

MOST = 9
"""Files of a room, without its initialiser."""

PLACE = re.compile(r"(?<![\w./])(data/|infra/|\.dvc\b|dvc\.lock|dvc\.yaml|params\.yaml|requirements\.lock)")

HOME = {"tasks/core/paths.py", "tasks/core/state.py"}
"""The files in which places have their names."""

DEED, FIXTURES = re.compile(r"\b(found|made|said|told)\b"), {"made"}
"""What was done to a thing does not tell which thing it is."""

OF_DVC = re.compile(r"\.dvc|dvc\.lock")
"""DVC's own places, which flows/bridge may name."""


def name(file: Path) -> str:
    """The module that a file holds."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def literals(file: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each string in `file` that is no docstring, parts of f-strings among them."""
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_no_circle_of_imports() -> None:
    """Imports within functions count: a circle that is broken by one still joins two files that read as one."""
    modules = {name(file): file for file in FILES}
    graph = nx.DiGraph((module, other) for module, file in modules.items() for other in imported(file) & set(modules))
    circles = [" - ".join(sorted(circle)) for circle in nx.strongly_connected_components(graph) if len(circle) > 1]
    circles += [module for module in graph if graph.has_edge(module, module)]
    assert not circles, f"these import each other: {'; '.join(circles)}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_of_flows_has_nine_files_at_most(room: Path) -> None:
    files = [file.name for file in room.glob("*.py") if file.name != "__init__.py"]
    assert 0 < len(files) <= MOST, f"flows/{room.name} has {len(files)} files: make a room of some of them"


def test_places_have_their_names_in_one_file() -> None:
    strays = []
    for file in FILES:
        path = str(file.relative_to(ROOT))
        if path in HOME or not PLACE.search(file.read_text()):
            continue
        for line, text in literals(file):
            left = OF_DVC.sub("", text) if path.startswith("flows/bridge/") else text
            if match := PLACE.search(left):
                strays.append(f"{path}:{line} names {match[1]}")
    assert not strays, f"take it from tasks.core.paths (PATHS), or from flows.bridge (LOCK): {'; '.join(strays)}"


def test_a_variable_is_named_for_what_it_holds() -> None:
    """Not for what was done: a fixture may be, and who asks for one has to call it so."""
    strays = []
    for file in [*FILES, *OTHERS]:
        if not DEED.search(text := file.read_text()):
            continue
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                    if DEED.fullmatch(name) and not (isinstance(node, ast.arg) and name in FIXTURES):
                        strays.append(f"{file.relative_to(ROOT)}:{node.lineno} {name}")
    assert not strays, f"say what it holds: {'; '.join(strays)}"


def test_flows_have_a_name_each() -> None:
    flows = [
        node.name
        for file in FLOWS
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(each, ast.Call) and ast.unparse(each.func) == "flow" for each in node.decorator_list)
    ]
    assert flows
    assert not [flow for flow, count in Counter(flows).items() if count > 1]


@pytest.mark.parametrize("top", ["flows", "tasks"])
def test_tests_mirror_the_tree(top: str) -> None:
    tests = ROOT / "tests"
    packages = [file.parent.relative_to(tests) for file in (tests / top).rglob("__init__.py")]
    assert len(packages) > 1
    strays = [f"tests/{package}" for package in packages if not (ROOT / package / "__init__.py").is_file()]
    assert not strays, f"no such room: {', '.join(strays)}"
