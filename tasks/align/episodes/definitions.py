"""Tools and environments of the user's, looked at in their files: nothing of those runs here.

The definition of a tool, which the chat template writes for the model, comes from the types and the docstring of its
function, as transformers makes one of a function that runs.
"""

import ast
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.align.episodes.settings import Episodes
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.named.functions import definition, parsed
from tasks.named.names import inside

KEY = "align.episodes"

RESET, STEP, REWARD = "reset", "step", "get_reward"
"""What an environment has besides its tools."""

FACTS = ("prompt", "reference")
"""What `reset` is told of an episode, by name."""

TYPES: dict[str, Any] = {
    **{kind.__name__: kind for kind in (str, int, float, bool, list, dict, tuple)},
    **{name: getattr(typing, name) for name in ("Any", "Dict", "List", "Literal", "Optional", "Tuple", "Union")},
    "None": None,
}
"""Types whose values a model can write in JSON."""

SHOWN = "str, int, float, bool, list, dict, tuple, Literal, Optional, Union or |"


@dataclass(frozen=True)
class Environment:
    """What an environment's class has."""

    name: str
    tools: tuple[dict[str, Any], ...]
    """Definitions of its methods that the model may call, in OpenAI's form."""
    facts: tuple[str, ...]
    """Those of `FACTS` that its `reset` takes."""
    steps: bool
    """Whether it replies to a turn that calls no tool."""
    rewards: bool
    """Whether it says what an episode was worth."""


def tools(episodes: Episodes, paths: Paths) -> list[dict[str, Any]]:
    """Definitions of the functions in `episodes.tools`, in OpenAI's form.

        tools(Episodes(tools=("docker.py:run",)), paths)[0]["function"]["name"]  # "run"

    Raises `InputError` or `SettingsError` where one is not there, or does not say what it takes.
    """
    definitions = []
    for index, name in enumerate(episodes.tools):
        file, function, key = _located(name, f"{KEY}.tools.{index}", paths)
        node = definition(file, function, key)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            raise InputError(
                f"{file}: {key}: no function {function} is defined in this file; define it there with def."
            )
        definitions.append(_tool(file, node, key, method=False))
    return definitions


def environment(episodes: Episodes, paths: Paths) -> Environment | None:
    """What the class `episodes.environment` has; None where there is no such key.

    Raises `InputError` or `SettingsError` where it lacks what an episode needs.
    """
    if episodes.environment is None:
        return None
    file, name, key = _located(episodes.environment, f"{KEY}.environment", paths)
    node = definition(file, name, key)
    if not isinstance(node, ast.ClassDef):
        raise InputError(f"{file}: {key}: no class {name} is defined in this file; define it there.")
    methods = _methods(node, parsed(file, key), f"{file}:{node.lineno}: {key}: {name}")
    described = []
    for method in methods.values():
        if method.name not in (RESET, STEP, REWARD) and not method.name.startswith("_") and not method.decorator_list:
            described.append(_tool(file, method, key, method=True))
    where = f"{file}:{node.lineno}: {key}: {name}"
    if RESET not in methods:
        raise InputError(f"{where} has no method {RESET}, which starts an episode; define {RESET}(self, prompt).")
    if STEP not in methods and not described:
        raise InputError(
            f"{where} has neither {STEP} nor a method that is a tool, so nothing can reply to the model; define "
            f"{STEP}(self, answer)."
        )
    for method in methods.values():
        if method.name in ("__init__", RESET, STEP, REWARD):
            _check_call(file, method, key)
    return Environment(name, tuple(described), _facts(methods[RESET]), STEP in methods, REWARD in methods)


def check(episodes: Episodes, paths: Paths, *, rewards: bool) -> None:
    """Raise what `tools` and `environment` raise, and where two tools have one name.

    `rewards`: whether the environment is asked what an episode was worth.
    """
    world = environment(episodes, paths)
    names = [tool["function"]["name"] for tool in (*tools(episodes, paths), *(world.tools if world else ()))]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{KEY}: the environment and {KEY}.tools both have a tool {twice}; rename one of them.")
    if rewards and world and not world.rewards:
        raise InputError(
            f"{KEY}.environment: {world.name} has no method {REWARD}, which a reward of kind environment needs; define "
            f"{REWARD}(self), or use another reward."
        )


def _located(name: str, key: str, paths: Paths) -> tuple[Path, str, str]:
    file, _, attribute = name.rpartition(":")
    return inside(paths.guides, file, key), attribute, key


def _methods(node: ast.ClassDef, module: ast.Module, where: str, depth: int = 0) -> dict[str, Any]:
    """Methods by name, those of base classes in the same file included."""
    methods: dict[str, Any] = {}
    classes = {one.name: one for one in module.body if isinstance(one, ast.ClassDef)}
    for base in reversed(node.bases):
        name = ast.unparse(base)
        if name == "object":
            continue
        if name not in classes or depth > len(classes):
            raise InputError(
                f"{where} inherits from {name}, which this file does not define, so its methods cannot be read; define "
                "them in this file."
            )
        methods |= _methods(classes[name], module, where, depth + 1)
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            methods.pop(one.name, None)
            methods[one.name] = one
    return methods


def _check_call(file: Path, method: Any, key: str) -> None:
    """Raise `InputError` where a method of an environment cannot be called as it will be."""
    where = f"{file}:{method.lineno}: {key}: {method.name}"
    if isinstance(method, ast.AsyncFunctionDef):
        raise InputError(f"{where} is async; write a synchronous method.")
    if method.decorator_list:
        return
    positional = [one.arg for one in (*method.args.posonlyargs, *method.args.args)]
    if not positional:
        raise InputError(f"{where} has no parameter self; write it as a method.")
    needed = positional[1 : len(positional) - len(method.args.defaults)]
    needed += [one.arg for one, value in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True) if not value]
    if method.name == RESET:
        wrong = [one for one in needed if one not in FACTS]
        if wrong or any(one.arg in FACTS for one in method.args.posonlyargs):
            raise InputError(
                f"{where} is called with {' and '.join(FACTS)} as keyword arguments; accept these and no others."
            )
    elif method.name == STEP:
        if len(needed) > 1 or (len(positional) < 2 and not method.args.vararg):
            raise InputError(
                f"{where} is called with the model's answer as its only argument; define {STEP}(self, answer)."
            )
    elif needed:
        raise InputError(f"{where} is called without arguments, but needs {needed[0]}; give it a default.")


def _facts(method: Any) -> tuple[str, ...]:
    taken = {one.arg for one in (*method.args.args, *method.args.kwonlyargs)}
    return FACTS if method.args.kwarg or method.decorator_list else tuple(name for name in FACTS if name in taken)


def _tool(file: Path, node: ast.FunctionDef | ast.AsyncFunctionDef, key: str, *, method: bool) -> dict[str, Any]:
    from transformers.utils import get_json_schema

    where = f"{file}:{node.lineno}: {key}: {node.name}"
    hidden = " Or start its name with _ if it is not a tool." if method else ""
    if isinstance(node, ast.AsyncFunctionDef):
        raise InputError(f"{where} is async; write a synchronous function.")
    if node.decorator_list:
        raise InputError(f"{where} is decorated, so its parameters cannot be read; remove the decorator.{hidden}")
    if node.args.vararg or node.args.kwarg or node.args.posonlyargs:
        raise InputError(f"{where}: a model passes arguments by name; name each parameter instead of using *.")
    if not (ast.get_docstring(node) or "").strip():
        raise InputError(f"{where} has no docstring to tell the model what it does; write one.{hidden}")
    arguments = [*node.args.args, *node.args.kwonlyargs][1 if method else 0 :]
    for one in arguments:
        if one.annotation is None:
            raise InputError(f"{where}: {one.arg} has no type annotation; add one, such as {one.arg}: str.{hidden}")
    try:
        types = {one.arg: _type(one.annotation) for one in arguments}
    except _NoType as error:
        raise InputError(
            f"{where}: {error} is not a type that a tool's description can express; use {SHOWN}."
        ) from None
    try:
        described: dict[str, Any] = get_json_schema(_stand_in(node, types, method=method))
    except Exception as error:  # transformers has classes of its own for each, and says what is wrong in the text
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{where}: {reason}; describe each argument on its own line below Args:.") from None
    about = described["function"]["description"] or ""
    if not about.strip() or about.startswith("Args:"):
        raise InputError(f"{where}: its docstring does not say what it does; write a sentence before Args:.")
    return described


class _NoType(Exception):
    """Carries the source of what is no type."""


def _type(node: Any) -> Any:
    """The type that an annotation names, of `TYPES` alone; nothing of the file is evaluated. Raises `_NoType`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise _NoType(repr(node.value)) from None
    allowed = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp, ast.BitOr, ast.Constant, ast.Tuple, ast.Load)
    for part in ast.walk(node):
        if (
            not isinstance(part, allowed)
            or (isinstance(part, ast.Name) and part.id not in (*TYPES, "typing"))
            or (isinstance(part, ast.Attribute) and (ast.unparse(part.value) != "typing" or part.attr not in TYPES))
        ):
            raise _NoType(ast.unparse(node))
    try:
        return eval(
            compile(ast.Expression(node), "annotation", "eval"), {"__builtins__": {}, "typing": typing, **TYPES}
        )
    except Exception:
        raise _NoType(ast.unparse(node)) from None


def _stand_in(node: ast.FunctionDef | ast.AsyncFunctionDef, types: dict[str, Any], *, method: bool) -> Any:
    """A function that does nothing, with the name, the docstring and the parameters of the user's."""
    arguments = ", ".join(f"{name}=None" if optional else name for name, optional in _parameters(node, method=method))
    space: dict[str, Any] = {}
    exec(f"def stand_in({arguments}): ...", space)
    function = space["stand_in"]
    function.__name__, function.__doc__, function.__annotations__ = node.name, ast.get_docstring(node), types
    return function


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> Iterator[tuple[str, bool]]:
    """Names of parameters, and whether each may be left out, those that may not first."""
    names = [one.arg for one in node.args.args]
    first_optional = len(names) - len(node.args.defaults)
    pairs = [(name, index >= first_optional) for index, name in enumerate(names)][1 if method else 0 :]
    pairs += [
        (one.arg, value is not None) for one, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    ]
    yield from sorted(pairs, key=lambda pair: pair[1])
