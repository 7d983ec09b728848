"""What training uses of accelerate that its documentation does not list: when an upgrade moves a name, mend it here."""

from functools import cache

LOOKUP = "_is_package_available"
"""What accelerate asks several times in each step: whether peft, DeepSpeed or Lomo is installed."""


def look_up_packages_once() -> None:
    """Have accelerate remember which packages are installed; it reads the metadata of peft anew each time, which takes
    longer than a small model's step of the optimiser."""
    from accelerate.utils import imports

    ask = getattr(imports, LOOKUP)
    if not hasattr(ask, "cache_clear"):
        setattr(imports, LOOKUP, cache(ask))
