"""Data files of every format that are broken, lie, or unpack to far too much, before `clean` and `temper audit`."""

import csv
import gzip
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.fork import Case
from tests.hostile.models import stage
from tests.hostile.mutations import ODD, lie, spoiled_bytes

IN = Path("data/generated")

ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": f"question {number} about the {word} of a ship"},
            {"role": "assistant", "content": f"the {word} is number {number} on the list"},
        ],
        "split": ["train", "validation", "test"][number % 3],
    }
    for number, word in enumerate(
        ["mast", "keel", "helm", "hull", "sail", "deck", "bow", "stern", "rudder", "anchor", "cabin", "galley"]
    )
]
CALL = {"id": "a1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
SHAPES: list[dict[str, Any]] = [
    ROWS[0],
    {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "", "tool_calls": [CALL]},
                  {"role": "tool", "content": "x", "tool_call_id": "a1"}, {"role": "assistant", "content": "b"}],
     "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}], "weight": 1, "id": "x"},
    {"prompt": "p", "chosen": "good", "rejected": "bad"},
    {"prompt": [{"role": "user", "content": "a"}], "completion": "c", "label": True},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    {"instruction": "a", "input": "b", "output": "c", "history": [["q", "a"]]},
    {"text": "a text", "source": "s", "slice": "y", "meta": {"a": 1}},
]  # fmt: skip


def prepare(project: Path) -> None:
    """An empty project with a tokenizer, and what `clean` and the audit load."""
    from tasks.core.imports import without_torch

    without_torch()
    import ftfy
    import ijson
    import transformers

    import tasks.audit.data
    import tasks.clean.run
    from tests.flows.project import ROOT
    from tests.tasks import tiny

    assert all((ftfy, ijson, transformers.AutoTokenizer, tasks.audit.data, tasks.clean.run))
    tiny.tokenizer().save_pretrained(project / "tokenizer")
    text = (ROOT / "params.yaml").read_text()
    assert "max_loss: 0.2" in text
    (project / "params.yaml").write_text(text.replace("max_loss: 0.2", "max_loss: 1.0", 1))
    (project / IN).mkdir(parents=True)


def audit() -> int:
    from tasks.audit.__main__ import main

    return main([str(IN), "--tokenizer", "tokenizer"])


def both(name: str, change: Callable[[Path], object]) -> Iterator[Case]:
    """The data as `clean` and as the audit see them."""

    def spoil(folder: Path) -> None:
        change(folder / IN)

    yield Case(f"clean: {name}", spoil, stage("clean"))
    yield Case(f"audit: {name}", spoil, audit)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@cache
def files() -> dict[str, bytes]:
    """The rows, as a good file of each format."""
    table = pa.Table.from_pylist(ROWS)
    parquet, stream, file, text = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.StringIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    csv.writer(text).writerows([["prompt", "completion"], *([row["messages"][0]["content"], "b"] for row in ROWS)])
    good = lines(ROWS)
    return {
        "a.jsonl": good, "a.json": json.dumps(ROWS).encode(), "a.csv": text.getvalue().encode(),
        "a.tsv": text.getvalue().replace(",", "\t").encode(), "a.parquet": parquet.getvalue(),
        "a.arrow": stream.getvalue(), "b.arrow": file.getvalue(), "a.txt": b"a text of some words\n",
        "a.jsonl.gz": gzip.compress(good, mtime=0), "a.jsonl.zst": pa.Codec("zstd").compress(good, asbytes=True),
    }  # fmt: skip


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def more(content: bytes) -> Callable[[Path], object]:
    """Good rows, and `content` behind them."""
    return put("a.jsonl", lines(ROWS) + content)


def fixed() -> Iterator[Case]:
    """The inputs that are the same for every seed."""
    for name in files():
        yield from both(f"{name} empty", put(name, b""))
        yield from both(f"{name} random", put(name, random.Random(1).randbytes(5000)))
    for name, line in LINES.items():
        yield from both(name, more(line))
    for name, content in DOCUMENTS.items():
        yield from both(f"document {name}", put("a.json", content))
    for name, table in TABLES.items():
        yield from both(f"csv {name}", put("a.csv", table))
    for name, (file, make) in BOMBS.items():
        yield from both(f"bomb {name}", lambda folder, file=file, make=make: (folder / file).write_bytes(make()))  # type: ignore[misc]
    for name, layout in FOLDERS.items():
        yield from both(f"folder {name}", layout)
    good = lines(ROWS)
    for name, content in (
        ("UTF-16", good.decode().encode("utf-16")), ("UTF-32", good.decode().encode("utf-32")),
        ("CR only", good.replace(b"\n", b"\r")), ("mixed line ends", good.replace(b"\n", b"\r\n", 5)),
        ("U+2028 as line end", good.decode().replace("\n", "\u2028", 3).encode()),
        ("a page", b"<!doctype html><html>"), ("a zip", b"PK\x03\x04" + bytes(100)),
    ):  # fmt: skip
        yield from both(name, put("a.jsonl", content))


LINES: dict[str, bytes] = {
    "deep list": b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n",
    "huge number": b'{"text":"x","n":' + b"9" * 6000 + b"}\n",
    "infinite": b'{"text":"x","n":1e999}\n',
    "NaN": b'{"text":"x","n":NaN}\n',
    "keys twice": b'{"text":"a","text":"b"}\n',
    "comma": b'{"text":"a",}\n',
    "single quotes": b"{'text':'a'}\n",
    "two on a line": b'{"text":"a"}{"text":"b"}\n',
    "byte order mark within": b'\xef\xbb\xbf{"text":"a"}\n',
    "not UTF-8": b'{"text":"\xff\xfe"}\n',
    "overlong": b'{"text":"\xc0\x80"}\n',
    "NUL": b'{"text":"a\0b"}\n',
    "NULs alone": b"\0\0\0\n",
    "control character": b'{"text":"a\x01b"}\n',
    "blank": b"   \t  \n" * 50,
    "scalars": b'1\n"a"\nnull\n[1]\n',
    "surrogates": b'{"text": "\\ud800 \\udfff"}\n',
    "accents": json.dumps({"text": "a" + "\u0301" * 50_000}).encode() + b"\n",
    "a word of 2 MB": json.dumps({"text": "a" * 2_000_000}).encode() + b"\n",
    "emoji": json.dumps({"text": "\U0001f468\u200d\U0001f469" * 20_000}).encode() + b"\n",
    "4000 turns": json.dumps(
        {"messages": [{"role": ("user", "assistant")[i % 2], "content": str(i)} for i in range(4000)]}
    ).encode(),
    "odd keys": b'{"text": "a", "": 1, "a.b": 2, "\\ud800": 3}\n',
    "deep rest": b'{"text": "a", "meta": ' + b"[" * 900 + b"]" * 900 + b"}\n",
    "tools deep": json.dumps({**ROWS[0], "tools": "[" * 3000 + "]" * 3000}).encode() + b"\n",
    "tools deep, as they are": json.dumps(ROWS[0])[:-1].encode() + b', "tools": ' + b"[" * 900 + b"]" * 900 + b"}\n",
    "arguments deep": json.dumps(
        {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "", "tool_calls": [
            {**CALL, "function": {"name": "look", "arguments": '{"a":' * 5000 + "1" + "}" * 5000}}]}]}
    ).encode(),
    "arguments huge number": json.dumps(
        {"messages": [ROWS[0]["messages"][0], {"role": "assistant", "content": "", "tool_calls": [
            {**CALL, "function": {"name": "look", "arguments": '{"a":' + "9" * 5000 + "}"}}]}]}
    ).encode(),
}  # fmt: skip

DOCUMENTS: dict[str, bytes] = {
    "deep": b'[{"messages":' + b"[" * 6000 + b"]" * 6000 + b"}]",
    "deep objects": b'[{"messages":' + b'{"a":' * 6000 + b"1" + b"}" * 6000 + b"}]",
    "brackets in a text": json.dumps([{"text": "[" * 20_000}]).encode(),
    "cut off": json.dumps(ROWS).encode()[:-20],
    "junk behind": json.dumps(ROWS).encode() + b"xx",
    "128 bits": b'[{"text":"a","n":170141183460469231731687303715884105728}]',
    "5000 digits": b'[{"text":"a","n":' + b"9" * 5000 + b"}]",
    "an object": json.dumps(ROWS[0]).encode(),
    "rows below a key": json.dumps({"train": ROWS}).encode(),
    "NUL": b'[{"text":"a\0b"}]',
}

TABLES: dict[str, bytes] = {
    "ragged": b'prompt,completion\na,b,c\nd\n"x\n',
    "NUL": b"prompt,completion\na\0,b\nc,d\n",
    "column twice": b"prompt,prompt\na,b\n",
    "no header": b"\n\n\n",
    "cell of 20 MB": b'prompt,completion\na,"' + b"b" * 20_000_000 + b'"\n',
    "quotes": b"prompt,completion\n" + b'"' * 300_001 + b"\n",
    "open quotes": b"prompt,completion\n" + b'a,"b\n' * 20_000,
    "U+2028": "prompt,completion\na\u2028b,c\n".encode(),
}


def _dictionary(rows: int, size: int) -> bytes:
    """A Parquet file in which each row is the same long text, which it holds once."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))
    out = io.BytesIO()
    pq.write_table(pa.table({"text": pa.chunked_array([text])}), out)
    return out.getvalue()


def _arrow_dictionary(rows: int, size: int) -> bytes:
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _long_lists() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "n": pa.array([[0] * 50_000_000], pa.list_(pa.int8()))}), out)
    return out.getvalue()


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip of 600 MB": ("a.jsonl.gz", lambda: gzip.compress(b"a" * (600 * 2**20), 1)),
    "gzip of 600 MB of lines": ("a.jsonl.gz", lambda: gzip.compress(b"\n" * (600 * 2**20), 1)),
    "zstd of 600 MB": ("a.jsonl.zst", lambda: bytes(pa.Codec("zstd").compress(b"a" * (600 * 2**20), asbytes=True))),
    "dictionary of 20 GB": ("a.parquet", lambda: _dictionary(200_000, 100_000)),
    "dictionary of long texts": ("a.parquet", lambda: _dictionary(2_000, 20_000_000)),
    "dictionary of rows": ("a.parquet", lambda: _dictionary(20_000_000, 3)),
    "dictionary in Arrow": ("a.arrow", lambda: _arrow_dictionary(200_000, 100_000)),
    "a list of 50 million": ("a.parquet", _long_lists),
    "a line of 300 MB": ("a.jsonl", lambda: b'{"text": "' + b"x" * (300 * 2**20) + b'"}\n'),
    "a text of 60 MB": ("a.jsonl", lambda: json.dumps({"text": "word " * 12_000_000}).encode()),
}


def _links(folder: Path) -> None:
    (folder / "b.jsonl").symlink_to("b.jsonl")
    (folder / "loop").symlink_to(".")
    (folder / "a.jsonl").write_bytes(lines(ROWS))


def _beside(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def layout(folder: Path) -> None:
        (folder / "a.jsonl").write_bytes(lines(ROWS))
        make(folder / name)

    return layout


def _as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(lines(ROWS))


FOLDERS: dict[str, Callable[[Path], object]] = {
    "with a folder x.jsonl": _beside("x.jsonl", Path.mkdir),
    "with a FIFO": _beside("x.jsonl", os.mkfifo),
    "only a FIFO": lambda folder: os.mkfifo(folder / "x.jsonl"),
    "links in circles": _links,
    "a dangling link": _beside("b.jsonl", lambda file: file.symlink_to("nope")),
    "a link to /dev/zero": _beside("b.jsonl", lambda file: file.symlink_to("/dev/zero")),
    "a link outside": lambda folder: (folder / "b.txt").symlink_to("/etc/passwd"),
    "a file": _as_file,
    "a name in bytes": lambda folder: (folder / os.fsdecode(b"a\xff\xfe.jsonl")).write_bytes(lines(ROWS)),
    "a name of two lines": put("a\nb.jsonl", lines(ROWS)),
    "a long name": put("n" * 249 + ".jsonl", lines(ROWS)),
    "state.json odd": lambda folder: [put("a.arrow", files()["a.arrow"])(folder),
        put("state.json", b"[" * 9999)(folder)],
    "dataset_dict.json odd": lambda folder: [
        put("a.jsonl", lines(ROWS))(folder), put("dataset_dict.json", b'{"splits": [[1], {}, null]}')(folder)
    ],
}  # fmt: skip


def drawn(draw: random.Random) -> Iterator[Case]:
    """Inputs without end, by a seed."""
    while True:
        if draw.random() < 0.5:
            name = draw.choice(list(files()))
            what, content = spoiled_bytes(draw, files()[name])
            cases = both(f"{name} {what}", put(name, content))
        else:
            row = draw.choice(SHAPES)
            for _ in range(draw.randint(1, 3)):
                what, row = lie(draw, row, 5)
                if not row:
                    break
            if draw.random() < 0.2:
                row = {**row, "more": draw.choice(ODD)}
            cases = both(f"row with {what}", more((json.dumps(row) + "\n").encode()))
        yield draw.choice(list(cases))
