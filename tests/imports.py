"""Which files of `tasks` a stage imports: what dvc.yaml has to declare as its code."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.flows.project import ROOT


@cache
def imported(file: Path) -> frozenset[str]:
    """Modules that `file` imports, anywhere in it, as dotted names; `from a import b` is a.b where that is a module.

    What it imports for its types only is never loaded, and does not count.
    """
    names = set()
    package = ".".join(file.relative_to(ROOT).parent.parts)
    for node in statements(ast.parse(file.read_text()).body, for_types=False):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            parts = [f"{module}.{alias.name}" for alias in node.names]
            names |= {part if _is_module(part) else module for part in parts}
    return frozenset(names)


def statements(body: Iterable[ast.AST], *, for_types: bool = True) -> Iterator[ast.AST]:
    """The statements of a file at any depth, without the expressions, which are most of it.

    `for_types`: also those below `if TYPE_CHECKING:`.
    """
    for node in body:
        yield node
        if not for_types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield from statements(getattr(node, "body", ()), for_types=for_types)
        for field in ("handlers", "cases", "orelse", "finalbody"):
            yield from statements(getattr(node, field, ()), for_types=for_types)


@cache
def _is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.is_dir() or place.with_name(f"{place.name}.py").is_file()


def closure(stage: str) -> set[Path]:
    """The files of `tasks` that `python -m tasks STAGE` reads: its own room, and all that is imported from there.

    Templates and scripts in a room of Python files belong to it. `__init__.py` files hold a docstring only.
    """
    files: set[Path] = set()
    waiting = [ROOT / "tasks/__main__.py", *(ROOT / "tasks" / stage).rglob("*.py")]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files.add(file)
        for name in imported(file):
            module = ROOT / name.replace(".", "/")
            if name.split(".")[0] == "tasks":
                waiting += [path for path in (module.with_suffix(".py"), module / "__init__.py") if path.exists()]
    return files
