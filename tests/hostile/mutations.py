"""Values that lie, and ways to make a file one: each drawn from a generator with a seed."""

import copy
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 3, 10**6, 10**30, -(2**63), 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "x",
    "nope",
    "../../etc/passwd", "(", "(a+)+$", "(.*)*(.*)*x$", "<script>alert(1)</script>", "\x1b[31m", "\u2028", "a" * 5000,
    [], [1, "a", None], [[[[]]]], {}, {"a": {"b": 1}}, {"": None}, [10**9], ["q_proj"], "torch", "os.system",
]  # fmt: skip
"""Values for a key that expects something else."""


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value within `value` is."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from paths(each, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """`value` with `new` at `path`."""
    changed = copy.deepcopy(value)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = new
    return changed


def lie(draw: random.Random, value: Any, deepest: int = 3) -> tuple[str, Any]:
    """`value` with an odd value somewhere, a key less, or a key more; and what was done, in words."""
    there = [path for path in paths(value) if len(path) <= deepest]
    path, way = draw.choice(there), draw.random()
    name = ".".join(map(str, path))
    if way < 0.15:
        changed = copy.deepcopy(value)
        parent = changed
        for key in path[:-1]:
            parent = parent[key]
        del parent[path[-1]]
        return f"without {name}", changed
    odd = draw.choice(ODD)
    return f"{name} = {odd!r}"[:80], replaced(value, path, odd)


def broken_json(draw: random.Random, raw: bytes) -> tuple[str, bytes]:
    """Bytes that are no JSON object, or one that should not be read."""
    ways: dict[str, bytes] = {
        "empty": b"",
        "a list": b"[]",
        "null": b"null",
        "a number": b"3",
        "a text": b'"x"',
        "cut off": raw[: draw.randrange(len(raw))],
        "not UTF-8": b'{"\xff\xfe": 1}',
        "UTF-16": raw.decode().encode("utf-16"),
        "NUL bytes": b"\0" * 100,
        "random bytes": draw.randbytes(500),
        "deep lists": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "a number of 5000 digits": b'{"x": ' + b"9" * 5000 + b"}",
        "a flipped byte": flipped(draw, raw),
    }
    name = draw.choice(list(ways))
    return name, ways[name]


def spoiled_json(draw: random.Random, file: Path) -> str:
    """Spoil a JSON file; what was done, in words."""
    if draw.random() < 0.3:
        what, raw = broken_json(draw, file.read_bytes())
        file.write_bytes(raw)
    else:
        what, value = lie(draw, json.loads(file.read_text()))
        file.write_text(json.dumps(value))
    return f"{file.name}: {what}"


def flipped(draw: random.Random, raw: bytes, most: int = 1) -> bytes:
    """`raw` with up to `most` bits turned."""
    changed = bytearray(raw)
    for _ in range(draw.randint(1, most)):
        changed[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def spoiled_bytes(draw: random.Random, raw: bytes) -> tuple[str, bytes]:
    """`raw` cut off, turned in places, with a part twice or left out, or with zeros in it."""
    start = draw.randrange(len(raw))
    end = min(len(raw), start + draw.randint(1, 64))
    ways = {
        f"cut off at {start}": raw[:start],
        f"bits turned ({start})": flipped(draw, raw, 1),
        f"bits turned in many places ({start})": flipped(draw, raw, 20),
        f"{start} to {end} left out": raw[:start] + raw[end:],
        f"{start} to {end} twice": raw[:end] + raw[start:],
        f"zeros from {start} to {end}": raw[:start] + bytes(end - start) + raw[end:],
        f"ones from {start} to {end}": raw[:start] + b"\xff" * (end - start) + raw[end:],
        f"text behind ({start})": raw + draw.randbytes(20),
    }
    name = draw.choice(list(ways))
    return name, ways[name]


def gzip_bomb(size: int, what: bytes = b"a") -> bytes:
    """`size` bytes of `what`, packed."""
    return gzip.compress(what * size)
