"""A params.yaml that lies, is cut off or grows, before `temper check`."""

import copy
import io
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.hostile.fork import Case
from tests.hostile.mutations import ODD, paths, replaced, spoiled_bytes

PARAMS = "params.yaml"


def prepare(project: Path) -> None:
    """A checkout without data, and what the command loads."""
    import flows.cli.main
    import flows.params.model
    import flows.plan.estimate
    import flows.plan.preflight
    from tests.flows.project import ROOT

    assert all((flows.cli.main, flows.params.model, flows.plan.estimate, flows.plan.preflight))
    project.rmdir()
    subprocess.run(["git", "clone", "--quiet", ROOT, project], check=True)
    subprocess.run(["dvc", "init", "--quiet", "--force"], cwd=project, check=False, capture_output=True)


def check() -> int:
    from flows.cli.main import main

    return int(main(["check"]) or 0)


@cache
def text() -> str:
    from tests.flows.project import ROOT

    return (ROOT / PARAMS).read_text()


@cache
def values() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(text())
    return loaded


def written(value: Any) -> bytes:
    out = io.StringIO()
    YAML().dump(value, out)
    return out.getvalue().encode("utf-8", "surrogatepass")


def content(name: str, raw: bytes | str) -> Case:
    body = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    return Case(f"params {name}", lambda folder: (folder / PARAMS).write_bytes(body), check)


def instead(name: str, make: Callable[[Path], object]) -> Case:
    def change(folder: Path) -> None:
        (folder / PARAMS).unlink()
        make(folder / PARAMS)

    return Case(f"params {name}", change, check)


def bomb(levels: int, each: int = 10) -> str:
    """Lists of aliases of lists of aliases."""
    lines = [f"a0: &a0 [{', '.join('x' * each)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def mapped_bomb(levels: int) -> str:
    lines = ["a0: &a0 {x: y}"]
    lines += [f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(10))}}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def put(old: str, new: str) -> str:
    assert old in text(), old
    return text().replace(old, new, 1)


def fixed() -> Iterator[Case]:
    """The inputs that are the same for every seed."""
    good, folder = text(), "folder: data/seed"
    deep = 3000
    heads = {
        "alias bomb": bomb(10), "alias bomb of maps": mapped_bomb(10), "recursive alias": "x: &x [*x]\n",
        "recursive map": "x: &x {y: *x}\n", "huge number": f"x: {'9' * 5000}\n",
        "deep lists": f"x: {'[' * deep}{']' * deep}\n",
        "deep maps": f"x: {'{a: ' * deep}1{'}' * deep}\n", "long key": f"{'k' * 100_000}: 1\n",
        "list as key": "? [a, b]\n: 1\n",
        "map as key": "? {a: b}\n: 1\n", "number as key": "3: 4\n", "null as key": "null: 4\n",
        "bool as key": "true: 4\n",
        "date as key": "2020-01-01: 4\n", "key of two lines": '"a\\nb": 1\n',
        "20,000 keys": "".join(f"k{n}: 1\n" for n in range(20_000)),
        "10 MB": f"x: {'a' * 10_000_000}\n", "bad date": "x: 2020-99-99\n", "bad time": "x: 2020-01-01T99:99:99Z\n",
        "binary": "x: !!binary =\n",
        "set": "x: !!set {a, b}\n", "omap": "x: !!omap [a, b]\n", "float": "x: !!float abc\n",
        "int": "x: !!int abc\n", "undefined alias": "x: *y\n",
        "anchor twice": "x: &a 1\ny: &a 2\n", "directive": "%YAML 9.9\n---\n", "tag": "%TAG ! tag:x,2000:\n---\n",
        "merge of itself": "x: &x {<<: *x}\n",
        "deep sequences": "\n".join("  " * n + "-" for n in range(1500)).replace("  -", "x:\n  -", 1) + "\n",
        "timestamp": "x: !!timestamp x\n",
    }  # fmt: skip
    for name, head in heads.items():
        yield content(name, head + good)
    bodies: dict[str, bytes | str] = {
        "empty": "", "list": "- a\n- b\n", "scalar": "42\n", "CR LF": good.replace("\n", "\r\n"),
        "CR": good.replace("\n", "\r"),
        "tabs": good.replace("  ", "\t", 9), "section twice": good + "\ntrain:\n  steps: 3\n",
        "two documents": good + "\n---\na: 1\n",
        "cut off": good[: len(good) // 2], "unclosed": "base: {folder: data/seed\n", "NUL": good + "\0",
        "bell": good + "\a: 1\n",
        "python tag": put(folder, "folder: !!python/object/apply:os.system ['id']"),
        "tag of a value": put(folder, "folder: !foo bar"),
        "date": put(folder, "folder: 2020-01-02"), "date and time": put(folder, "folder: 2020-01-02 03:04:05"),
        "sexagesimal": put(folder, "lines: 1:30:00"),
        "alias below itself": put(folder, "architecture: &e {layers: *e}"),
        "surrogate": put(folder, 'folder: "\\ud800"'),
        "control": put(folder, 'folder: "a\\u0007b\\0c"'), "merge key": put(folder, "<<: {folder: a}"),
        "merge key bad": put(folder, "<<: 3"),
        "huge number in a key": put(folder, f"lines: {'9' * 5000}"),
        "alias bomb in a key": bomb(10) + put(folder, "folder: *a9"),
        "UTF-16": good.encode("utf-16"), "latin-1": put(folder, "folder: décker").encode("latin-1"),
        "mark": b"\xef\xbb\xbf" + good.encode(),
        "NUL bytes": b"\0\0\0", "random bytes": random.Random(3).randbytes(2000),
        "next line": good.replace("\n", "\x85", 5), "U+2028": good.replace("\n", "\u2028", 5),
    }  # fmt: skip
    for name, body in bodies.items():
        yield content(name, body)
    yield instead("a folder", Path.mkdir)
    yield instead("a link to itself", lambda file: file.symlink_to(PARAMS))
    yield instead("a dangling link", lambda file: file.symlink_to("/nonexistent/x"))
    yield instead("a FIFO", os.mkfifo)
    yield instead("a link to /dev/zero", lambda file: file.symlink_to("/dev/zero"))
    for name in ("dvc.yaml", "dvc.lock", "infra/stages.yaml"):
        for what, raw in (
            ("alias bomb", bomb(10)),
            ("recursive", "x: &x [*x]\n"),
            ("a list", "[1]\n"),
            ("NUL", "\0"),
            ("deep", "[" * 3000),
        ):
            yield Case(f"{name} {what}", lambda at, name=name, raw=raw: (at / name).write_text(raw), check)  # type: ignore[misc]


def drawn(draw: random.Random) -> Iterator[Case]:
    """Inputs without end, by a seed."""
    leaves = list(paths(values()))
    while True:
        if draw.random() < 0.25:
            what, raw = spoiled_bytes(draw, text().encode())
            yield content(what, raw)
            continue
        path, odd = draw.choice(leaves), draw.choice(ODD)
        value = replaced(copy.deepcopy(values()), path, odd)
        yield content(f"{'.'.join(map(str, path))} = {str(odd)[:40]!r}", written(value))
