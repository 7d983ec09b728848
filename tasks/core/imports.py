"""How a process gets through heavy imports: what would be done in them for nothing."""

import functools
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tasks.core import deferred

SELDOM = 1000
"""Collections of young objects between two of all objects; Python's own 10 goes again and again through what is being
imported, none of which is garbage: a quarter of the time that importing torch takes. In long work it comes round."""


def collect_seldom() -> None:
    """To be called before the heavy imports."""
    gc.set_threshold(*gc.get_threshold()[:2], SELDOM)


def without_torch() -> None:
    """Let libraries find no torch, for a process that is about texts and tokens only.

    transformers reads tokenizers without it, but loads it, and what belongs to models, wherever it is installed: half
    of the process's start.
    """
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # None: it cannot be imported, by the language


def torch_is_hidden() -> bool:
    """Whether `without_torch` was called."""
    return sys.modules.get("torch", ...) is None


LOSSES = "transformers.loss."
"""Losses of models that find objects in pictures are among those that transformers loads with every model. They import
scipy.optimize, for a function that only they call."""

SCANNED = "create_import_structure_from_path"
"""What reads the names in transformers' folders of models, twice, and keeps 128 of more than 500 in between."""


KERNELS = "bitsandbytes.backends."
"""Functions that bitsandbytes has compiled as it is imported, where there is a compiler."""

SHARDING = {
    "transformers.distributed.": ("transformers.utils", "transformers.utils.import_utils"),
    "accelerate.utils.other": ("accelerate.utils.imports",),
}
"""Modules for models over several GPUs, by how their names begin, and who tells them whether torch can do that. They
load torch's sharded tensors, with sympy, and nothing of it is used by a process that trains alone."""


def spare_transformers() -> None:
    """Let transformers load without what each process would do for nothing; to be called before it is imported.

    Half of what it takes beyond torch. Its functions are the same: scipy.optimize and torch's compiler load when they
    are called, and sharded tensors where several processes train together.
    """
    if not any(isinstance(finder, _Sparing) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Sparing())


class _Sparing:
    """Finds modules as the other finders do, and has some of them executed in a context."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        deferred.load_whole(name)
        context: Callable[[], AbstractContextManager[None]]
        if name == "transformers":
            context = _scanned_once
        elif name.startswith(LOSSES):
            context = _scipy_when_called
        elif askers := next((askers for start, askers in SHARDING.items() if name.startswith(start)), ()):
            context = partial(_unsharded, askers) if deferred.alone() else nullcontext
        elif name.startswith(KERNELS) and not deferred.compiles():
            context = deferred.uncompiled
        elif deferred.deferrable(name):
            context = nullcontext
        else:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        if name in deferred.ANSWERS:
            deferred.defer(spec)
        execute = spec.loader.exec_module

        def within(module: ModuleType) -> None:
            with context():
                execute(module)

        spec.loader.exec_module = within  # type: ignore[method-assign]  # of this one module's loader
        return spec


@contextmanager
def _scanned_once() -> Iterator[None]:
    """Have `SCANNED` keep all that it has read."""
    cache = functools.lru_cache

    def keep(maxsize: Any = 128, typed: bool = False) -> Any:
        if getattr(maxsize, "__name__", "") == SCANNED:  # the function: a decorator without arguments
            return cache(None)(maxsize)
        return cache(maxsize, typed)

    functools.lru_cache = keep
    try:
        yield
    finally:
        functools.lru_cache = cache


@contextmanager
def _unsharded(askers: Sequence[str]) -> Iterator[None]:
    """Have what is imported find no torch.distributed, as on a torch that was built without it.

    peft takes sharded tensors to be there once transformers is: so they are, deferred.
    """
    import_module(deferred.SHARDED)
    name = "is_torch_distributed_available"
    modules = [import_module(asker) for asker in askers]
    before = [getattr(module, name) for module in modules]
    for module in modules:
        setattr(module, name, _no)
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            setattr(module, name, function)


def _no() -> bool:
    return False


@contextmanager
def _scipy_when_called() -> Iterator[None]:
    """Give functions of scipy.optimize that load it when they are called, where nobody has loaded it yet."""
    name = "scipy.optimize"
    if name in sys.modules:
        yield
        return

    def function(attribute: str) -> Callable[..., Any]:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return lambda *args, **kwargs: getattr(import_module(name), attribute)(*args, **kwargs)

    stand_in = ModuleType(name)
    stand_in.__getattr__ = function  # type: ignore[method-assign]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
