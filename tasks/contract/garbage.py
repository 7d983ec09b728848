"""How often a process looks for garbage: Python's own pace is a quarter of the time that importing torch takes."""

import gc

SELDOM = 1000
"""Collections of young objects between two of all objects; Python's own 10 goes again and again through what is being
imported, none of which is garbage. In long work it still comes round."""


def collect_seldom() -> None:
    """To be called before the heavy imports."""
    gc.set_threshold(*gc.get_threshold()[:2], SELDOM)
