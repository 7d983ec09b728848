"""`packing`: seconds to pack rows into a file of packs, ours for each of trl's, and how full the packs are.

Both read one Arrow file of token ids and labels, memory-mapped, and write another. trl packs a thousand rows at a time
unless told otherwise; told to take all at once it is slower and fills as well as we do, so both are measured.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.checkout import HERE
from benchmarks.result import Result
from tasks.template.packing import arrange, pack, packed

GOAL = 1.0
"""Seconds for each second of trl's, the faster of its two ways."""

FULL = 0.98
"""Share of the packs' tokens that rows fill, at least."""

ROWS = {"small": 20_000, "default": 200_000}
CAPACITY = 2048
REPEATS = 5
DATA = HERE.parent / "shared" / "data"


def measure(full: bool) -> Result:
    """Rows of random lengths, log-normal about 400 tokens; and public conversations where they are at hand."""
    configuration = "default" if full else "small"
    lengths = np.clip(np.random.default_rng(0).lognormal(6, 0.8, ROWS[configuration]), 1, CAPACITY).astype(np.int64)
    with TemporaryDirectory(prefix="temper-") as folder:
        place = Path(folder)
        write(place / "rows.arrow", lengths)
        ways: dict[str, Callable[[], int]] = {
            "ours": lambda: ours(place),
            "trl": lambda: trls(place, 1000),
            "trl_all_at_once": lambda: trls(place, len(lengths)),
            "lengths_alone": lambda: int(arrange(lengths, CAPACITY)[1][-1]) + 1,
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        packs = {}
        for _ in range(REPEATS):
            for name, way in ways.items():
                start = time.perf_counter()
                packs[name] = way()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    fills = {name: round(int(lengths.sum()) / (number * CAPACITY), 4) for name, number in packs.items()}
    conversations = chat()
    ratio = medians["ours"] / min(medians["trl"], medians["trl_all_at_once"])
    detail = {
        "configuration": configuration,
        "rows": len(lengths),
        "tokens": int(lengths.sum()),
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "fill": fills,
        "fill_of_conversations": conversations or "not at hand",
    }
    enough = min([fills["ours"], *(fill["ours"] for fill in conversations.values())]) >= FULL
    return Result("packing", round(ratio, 3), "x trl's seconds", GOAL, ratio <= GOAL and enough, detail)


def write(path: Path, lengths: Any) -> None:
    """Write rows of `lengths` tokens as the stage `template` does without packing, a thousand a batch."""
    ids = pa.array(np.random.default_rng(1).integers(0, 32_000, int(lengths.sum()), dtype=np.int32))
    rows = pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), ids)
    table = pa.table({"input_ids": rows, "labels": rows})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=1000)


def ours(place: Path) -> int:
    """Pack and write; the number of packs."""
    schema = pa.schema([*((name, pa.list_(pa.int32())) for name in ("input_ids", "labels")), ("pack", pa.int32())])
    last = -1
    with (
        pa.memory_map(str(place / "rows.arrow")) as source,
        pa.ipc.open_stream(source) as rows,
        pa.OSFile(str(place / "ours.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as stream,
    ):
        for batch in packed(rows, CAPACITY):
            stream.write_batch(batch)
            last = batch.column("pack")[-1].as_py()
    return int(last) + 1


def trls(place: Path, rows: int) -> int:
    """The same by trl, `rows` at a time."""
    import datasets
    from trl import pack_dataset

    datasets.disable_progress_bars()
    source = datasets.Dataset.from_file(str(place / "rows.arrow"))
    file = {"cache_file_name": str(place / f"trl-{rows}.arrow"), "load_from_cache_file": False}
    return len(pack_dataset(source, CAPACITY, "bfd", {"batch_size": rows, "new_fingerprint": "packed", **file}))


def chat() -> dict[str, dict[str, float]]:
    """How full the packs of public conversations are, ours and trl's default, by file; empty where none is at hand."""
    if not (DATA / "chat").is_dir():
        return {}
    import datasets
    from tokenizers import Tokenizer
    from trl import pack_dataset

    coder = Tokenizer.from_file(str(DATA / "tokenizers" / "llama-3.1" / "tokenizer.json"))
    dialogues = [
        json.loads(line)["messages"] for line in (DATA / "chat" / "chat_sgd_train.jsonl").read_text().splitlines()
    ]
    alpaca = json.loads((DATA / "chat" / "alpaca_en_demo.json").read_text())
    texts = {
        "chat_sgd_train": ["\n".join(turn.get("content") or "" for turn in row) for row in dialogues],
        "alpaca_en_demo": ["\n".join(row.values()) for row in alpaca],
    }
    filled = {}
    for name, rows in texts.items():
        ids = [encoding.ids for encoding in coder.encode_batch(rows)]
        lengths = [len(row) for row in ids]
        numbers = {
            "ours": int(pack(lengths, CAPACITY).max()) + 1,
            "trl": len(pack_dataset(datasets.Dataset.from_dict({"input_ids": ids}), CAPACITY, "bfd")),
            "at_best": -(-sum(lengths) // CAPACITY),
        }
        filled[name] = {way: round(sum(lengths) / (number * CAPACITY), 4) for way, number in numbers.items()}
    return filled
