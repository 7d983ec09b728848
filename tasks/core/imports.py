"""How a process gets through heavy imports: what would be done in them for nothing."""

import gc
import sys

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
