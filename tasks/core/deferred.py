"""Parts of torch that load when more is asked of them than what any process asks: its compiler, sharded tensors.

transformers, trl, peft and torch itself import them for marks on functions, and to ask whether something is of one of
their classes: half a second to a second of each process. `FIXED` turns the compiler off (`TORCHDYNAMO_DISABLE`), and
marks on functions that nobody compiles change nothing; a process that trains alone has no sharded tensors. What else is
asked, or by others, loads the module, whole and as it is.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

COMPILER, SHARDED = "torch._dynamo", "torch.distributed.tensor"

APART = f"{COMPILER}._trace_wrapped_higher_order_op"
"""The module that transformers takes a class of, which needs nothing of the compiler."""

_lock = threading.RLock()


def _unmarked(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """A mark for the compiler, as decorator with or without arguments: `function` as it is."""
    return function if callable(function) else _unmarked


def _nothing(*args: Any, **kwargs: Any) -> None:
    """A hint for the compiler."""


ANSWERS: Mapping[str, Mapping[str, Any]] = {
    COMPILER: {
        **dict.fromkeys(("disable", "allow_in_graph", "assume_constant_result"), _unmarked),
        "graph_break": _nothing,
        "eval_frame": SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {})),  # the class of no model here
    },
    SHARDED: {"DTensor": type("DTensor", (), {})},  # the class of no tensor here
}
"""What a module answers before it is loaded, by its name."""

ASKERS = {"torch", "transformers", "accelerate", "peft", "trl", "huggingface_hub", "bitsandbytes"}
"""Libraries that get these answers: everybody else may keep them for longer than they hold."""


def compiles() -> bool:
    """Whether this process may compile, by torch's own variable."""
    return os.environ.get("TORCHDYNAMO_DISABLE") != "1"


def alone() -> bool:
    """Whether this process is none of several that train together, by the variable with which torchrun starts those."""
    return "WORLD_SIZE" not in os.environ


def deferrable(name: str) -> bool:
    """Whether the module is one of those, and nobody needs it here."""
    return name in ANSWERS and (alone() if name == SHARDED else not compiles())


def load_whole(name: str) -> None:
    """Load the module that `name` is a part of, where it was deferred: the whole comes first, as usual."""
    for whole in ANSWERS:
        if name.startswith(f"{whole}.") and name != APART:
            load(whole)


def defer(spec: ModuleSpec) -> None:
    """Have the module of `spec` executed when more is asked of it than `ANSWERS`."""
    assert spec.loader is not None
    execute = spec.loader.exec_module

    def later(module: ModuleType) -> None:
        module.__dict__["_execute"] = execute
        module.__class__ = _Deferred

    spec.loader.exec_module = later  # type: ignore[method-assign]  # of this one module's loader


def load(name: str) -> None:
    """Load the module, where it was deferred."""
    module: Any = sys.modules.get(name)
    if isinstance(module, _Deferred):
        with _lock:
            if execute := module.__dict__.pop("_execute", None):  # else this thread is loading it, or another one has
                execute(module)
                module.__class__ = ModuleType  # type: ignore[assignment]  # like any other module


@contextmanager
def uncompiled() -> Iterator[None]:
    """Have `torch.compile` give back what it gets, which it does where the compiler is off, without loading it."""
    import torch

    compile_: Callable[..., Any] = torch.compile
    torch.compile = _unmarked  # type: ignore[assignment]  # of fewer overloads
    try:
        yield
    finally:
        torch.compile = compile_


class _Deferred(ModuleType):
    """A module until it is loaded."""

    def __getattr__(self, name: str) -> Any:
        answers = ANSWERS[self.__name__]
        if name in answers and _asker() in ASKERS:
            return answers[name]
        if not name.startswith("__"):  # those importlib asks for, of each module
            load(self.__name__)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)


def _asker() -> str:
    """The library whose code asks a deferred module; `from ... import` asks by way of importlib."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("importlib"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
