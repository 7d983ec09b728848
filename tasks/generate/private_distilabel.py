"""What the pipeline uses of distilabel that its documentation does not list: if an upgrade moves a name, mend it here.

distilabel is imported here without the libraries that it loads for steps of others: datasets, pandas and redis take a
third of the time in which a pipeline starts.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

LOOK = 0.05
"""Seconds between two looks of distilabel at its steps. By itself it sleeps 2.5 before it looks again whether they are
loaded, which takes a tenth of that, and 0.5 before it looks again whether they have ended."""

SPARED = ("datasets", "datasets.filesystems", "pandas")
"""Modules of which distilabel only names classes and functions, in what is not called here."""


def pipeline_class() -> Any:
    """distilabel's `Pipeline`; what its `run` returns are the rows that its last step wrote, as a list."""
    _settle_pyarrow()
    with _sparing():
        from distilabel.pipeline import base, local
    base.time = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, LOOK)))
    local.create_distiset = _rows
    return local.Pipeline


def _settle_pyarrow() -> None:
    """Have pyarrow find no pandas. It looks once, to see whether a list is one of its columns, and remembers."""
    import pyarrow

    class Hiding:
        """A finder that finds everything but pandas."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "pandas":
                raise ModuleNotFoundError(name=name)

    finder = Hiding()
    sys.meta_path.insert(0, finder)
    try:
        pyarrow.array([0])
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _sparing() -> Iterator[None]:
    """Have names stand in for modules that nobody has loaded yet."""
    names = [name for name in SPARED if name not in sys.modules]
    sys.modules.update({name: _StandIn(name) for name in names})
    redis = sys.modules.setdefault("redis", None)  # type: ignore[arg-type]  # portalocker does without
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        if redis is None:
            del sys.modules["redis"]


class _StandIn(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _rows(data_dir: Path, **_: Any) -> list[dict[str, Any]]:
    """In the place of `create_distiset`: what the pipeline's only last step wrote, in the order of its files."""
    import pyarrow.parquet as pq
    from distilabel.constants import STEPS_OUTPUTS_PATH
    from distilabel.utils.files import list_files_in_dir

    (folder,) = (data_dir / STEPS_OUTPUTS_PATH).iterdir()
    return [row for file in list_files_in_dir(folder) for row in pq.read_table(file).to_pylist()]
