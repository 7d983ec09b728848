"""Functions of the user's own: looked at without running, loaded when they are needed."""

from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.named.functions import check_function, check_installed, load_function

FILE = """
import os as system
from math import hypot
import pathlib; pathlib.Path({trace!r}).touch()
def two(a, b): pass
def three(a, b, c): pass
def four(a, b, c, d): pass
def defaults(a, b, c, d=1): pass
def few(a, *rest): pass
def named(a, b, c, *, d): pass
def named_default(a, b, c, *, d=1, **rest): pass
def positional(a, b, c, /): pass
async def later(a, b, c): pass
@system.wraps
def wrapped(): pass
class Scorer: pass
alias = other = three
typed: object = three
if True:
    def inner(a, b, c): pass
try:
    pass
except Exception:
    def fallback(a, b, c): pass
def again(a): pass
def again(a, b, c): pass
def outer():
    def hidden(a, b, c): pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(FILE.format(trace=str(tmp_path / "trace")))
    return file


def test_what_can_be_called_with_three_arguments(file: Path) -> None:
    for name in ("three", "defaults", "few", "named_default", "positional", "wrapped", "Scorer", "alias", "other",
                 "typed", "inner", "fallback", "again", "hypot"):  # fmt: skip
        check_function(file, name, "the.key", 3)
    for name, message in {
        "two": r"mine\.py:5: the\.key: two is called with 3 arguments, and takes 2\.$",
        "four": "and needs 4",
        "named": "and needs d as a keyword argument",
        "later": "is async",
        "hidden": "it does not define hidden",
        "nothing": "it does not define nothing",
    }.items():
        with pytest.raises(InputError, match=message):
            check_function(file, name, "the.key", 3)
    assert not (file.parent / "trace").exists()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content in {"a.py": b"def f(", "b.py": b"\0", "c.py": b"\xff\xfe", "d.py": b"(" * 100_000}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"the\.key: not valid Python"):
            check_function(tmp_path / name, "f", "the.key", 3)
    for name in ("none.py", "."):
        with pytest.raises(InputError, match="no such file"):
            check_function(tmp_path / name, "f", "the.key", 3)


def test_installed_modules_are_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pack"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "inner/__init__.py", "inner/mine.py"):
        (package / name).write_text(FILE.format(trace=str(tmp_path / "trace")))
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("pack", "pack.inner", "pack.inner.mine"):
        check_installed(module, "three", "the.key", 3)
        with pytest.raises(InputError, match="takes 2"):
            check_installed(module, "two", "the.key", 3)
    check_installed("math", "hypot", "the.key", 3)
    for module in (
        "pack.other",
        "pack.inner.mine.deeper",
        "nowhere",
        "nowhere.at.all",
        "..pack",
        ".pack",
        "",
        "pack..x",
    ):
        with pytest.raises(InputError, match=r"the\.key: it cannot be loaded"):
            check_installed(module, "three", "the.key", 3)
    assert not (tmp_path / "trace").exists()


def test_loading_runs_the_file(file: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.py: the\.key: three cannot be loaded from it: AttributeError"):
        load_function(file, "three", "the.key")  # system.wraps
    assert (file.parent / "trace").exists()
    (file.parent / "good.py").write_text("def f(a): return a + 1\n")
    assert load_function(file.parent / "good.py", "f", "the.key")(1) == 2
