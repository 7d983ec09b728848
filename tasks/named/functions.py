"""Functions of the user's own, in files that settings name: looked at before a run, loaded within one.

A file that is loaded runs. So what is asked before a run (`temper check`) only parses it: the function is there, and
takes as many arguments as it will be given.
"""

import ast
import importlib.util
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks.core.errors import InputError


def load_function(file: Path, name: str, key: str) -> Any:
    """The function `name` of the Python file; what stands in the file runs. Raises `InputError`, whatever it does."""
    try:
        return getattr(load_module(file), name)
    except (Exception, SystemExit) as error:  # whatever a user's file does
        raise InputError(f"{file}: {key}: {name} cannot be loaded from it: {type(error).__name__}: {error}") from None


def load_module(file: Path) -> ModuleType:
    """The Python file as a module of its own; what stands in it runs, and what that raises is raised."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError("no such Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_function(file: Path, name: str, key: str, arguments: int) -> None:
    """Raise `InputError` where the file has no function `name` that takes so many arguments. Nothing in it runs."""
    node = definition(file, name, key)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
        if isinstance(node, ast.AsyncFunctionDef):
            raise InputError(f"{file}:{node.lineno}: {key}: {name} is async; write a synchronous function.")
        if fault := _misfit(node.args, arguments):
            raise InputError(f"{file}:{node.lineno}: {key}: {name} is called with {arguments} arguments, and {fault}.")


def definition(file: Path, name: str, key: str) -> ast.AST:
    """The statement that last gives `name` in the file. Raises `InputError` where there is none. Nothing in it runs."""
    bound = [node for node in _bindings(parsed(file, key).body) if name in _names(node)]
    if not bound:
        raise InputError(f"{file}: {key}: it does not define {name}; define it, or use another name.")
    return bound[-1]


def parsed(file: Path, key: str) -> ast.Module:
    """The file as Python reads it. Raises `InputError` where it is not there, or no Python. Nothing in it runs."""
    try:
        return ast.parse(file.read_bytes(), str(file))
    except OSError:
        raise InputError(f"{file}: {key}: no such file; add it.") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{file}: {key}: not valid Python: {type(error).__name__}: {error}") from None


def check_installed(module: str, name: str, key: str, arguments: int) -> None:
    """The same for `name` of an installed module, of which nothing is imported, nor of the packages around it."""
    spec: ModuleSpec | None = None
    try:
        *packages, last = module.split(".")
        for depth in range(len(packages) + 1):
            part = ".".join([*packages, last][: depth + 1])
            inner = spec.submodule_search_locations if spec else None
            spec = importlib.util.find_spec(part) if depth == 0 else PathFinder.find_spec(part, inner)
            if spec is None or (depth < len(packages) and spec.submodule_search_locations is None):
                raise ModuleNotFoundError(f"No module named {part!r}")
    except (ImportError, ValueError) as error:
        raise InputError(f"{module}: {key}: it cannot be loaded: {type(error).__name__}: {error}") from None
    if spec and spec.has_location and spec.origin and spec.origin.endswith(".py"):
        check_function(Path(spec.origin), name, key, arguments)


def _bindings(body: list[ast.stmt]) -> list[ast.AST]:
    """The statements of a module that give names, those within `if` and `try` and their kind included, in order."""
    statements: list[ast.AST] = []
    for node in body:
        statements.append(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for field in ("body", "orelse", "finalbody"):
            statements += _bindings(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            statements += _bindings(handler.body)
    return statements


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return set()


def _misfit(parameters: ast.arguments, count: int) -> str:
    """Why a function cannot be called with `count` arguments in a row, "" where it can."""
    positional = [*parameters.posonlyargs, *parameters.args]
    needed = len(positional) - len(parameters.defaults)
    keywords = [one.arg for one, value in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True) if not value]
    if keywords:
        return f"needs {keywords[0]} as a keyword argument"
    if needed > count:
        return f"needs {needed}"
    return "" if parameters.vararg or len(positional) >= count else f"takes {len(positional)}"
