"""`template`: seconds to read, template, check and write rows, for each second of the bare tokenizer; and its memory.

The bare tokenizer is the Rust one, all threads, on the same rendered texts and nothing else: no rendering, labels or
checks. The two take turns on the same cores. Rows are public conversations where they are at hand, else random words.
Memory is the peak of the whole stage with its workers on ten times the rows.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import clean
from benchmarks.checkout import HERE
from benchmarks.child import measured
from benchmarks.result import Result

GOAL = 1 / 0.75
"""Seconds for each second of the bare tokenizer: 75 % of its tokens a second."""

SAME = 1.2
"""Peak memory with ten times the rows, for each byte without."""

DATA = HERE.parent / "shared" / "data"
SETS = {
    "conversations": "chat/chat_sgd_train.jsonl",
    "instructions": "chat/alpaca_en_demo.json",
    "commands": "docker/docker_commands_train.jsonl",
}
"""The goal is measured on the first."""

ROUNDS = {"small": 3, "default": 7}
ROWS = {"small": (2_000, 20_000), "default": (10_000, 100_000)}
"""Rows for the measurement of memory."""


def measure(full: bool) -> Result:
    """Speed on each set, each in a process of its own, then memory."""
    configuration = "default" if full else "small"
    at_hand = DATA.is_dir()
    with TemporaryDirectory(prefix="temper-") as folder:
        base = Path(folder) / "base"
        lay_base(base, DATA / "tokenizers" / "llama-3.1" if at_hand else None)
        speed = {}
        for name, file in SETS.items() if at_hand else [("random words", "")]:
            place = Path(folder) / name
            speed[name] = _child("speed", place, DATA / file if file else place / "rows.jsonl", base, configuration)
        place = Path(folder) / "memory"
        source = DATA / SETS["conversations"] if at_hand else place / "rows.jsonl"
        few, many = (_memory_of(rows, place, source, base) for rows in ROWS[configuration])
    ratio, growth = next(iter(speed.values()))["ratio"], many["peak_mib"] / few["peak_mib"]
    detail = {
        "configuration": configuration,
        "sets": speed,
        "share_of_bare_tokens_a_second": {name: round(1 / one["ratio"], 3) for name, one in speed.items()},
        "memory": {"few": few, "many": many, "ratio": round(growth, 3)},
    }
    return Result(
        "template", round(ratio, 3), "x the tokenizer's seconds", GOAL, ratio <= GOAL and growth <= SAME, detail
    )


def _memory_of(rows: int, place: Path, source: Path, base: Path) -> dict[str, Any]:
    """Peak memory with so many rows, which another process writes: what making them takes is not counted."""
    _child("rows", place, source, base, str(rows))
    return _child("memory", place, source, base, str(rows))


def _child(what: str, place: Path, source: Path, base: Path, how: str) -> dict[str, Any]:
    place.mkdir(exist_ok=True)
    if not source.exists():
        clean.write(source, 20_000)
    return measured("benchmarks.template", what, place, source, base, how, TOKENIZERS_PARALLELISM="true")


def lay_base(folder: Path, given: Path | None) -> None:
    """A base's folder with a tokenizer and no weights, which templating does not read."""
    if given:
        shutil.copytree(given, folder)
    else:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        named = ["<|im_end|>", "<|im_start|>", "<|pad|>"]
        trainer = trainers.BpeTrainer(vocab_size=8000, special_tokens=named, show_progress=False)
        backend.train_from_iterator((f" word{number}" for number in range(5000)), trainer)
        coder = PreTrainedTokenizerFast(
            tokenizer_object=backend, eos_token=named[0], pad_token=named[2], extra_special_tokens=[named[1]]
        )
        coder.chat_template = (HERE / "tasks/template/chat/chatml.jinja").read_text()
        coder.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 131_072, "vocab_size": 128_256}))


def lay_rows(source: Path, place: Path, most: int | None) -> None:
    """Write rows as the stage `clean` does; as many as `most`, by repeating them, or all of them once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.audit.data import rows
    from tasks.clean.columns import ColumnSurvey
    from tasks.clean.settings import Columns, Settings
    from tasks.clean.write import OPTIONAL
    from tasks.clean.write import ROWS as COLUMNS
    from tasks.template.audit import Account

    schema = pa.schema([*COLUMNS, OPTIONAL.field("tools")])
    known = list(rows(source, "sft", Account("rows"), Settings(), ColumnSurvey(Columns(), shown=str)))

    def repeated() -> Iterator[dict[str, Any]]:
        while True:
            yield from known

    waiting = islice(repeated(), most or len(known))
    (place / "data/clean").mkdir(parents=True, exist_ok=True)
    with (
        pq.ParquetWriter(place / "data/clean/train.parquet", schema) as train,
        pq.ParquetWriter(place / "data/clean/validation.parquet", schema),
    ):
        while some := list(islice(waiting, 1000)):
            train.write_table(pa.Table.from_pylist(some, schema))


def _speed(place: Path, source: Path, base: Path, rounds: int) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from tasks.chat.stops import stop_ids
    from tasks.core.imports import without_torch
    from tasks.core.paths import Paths
    from tasks.engine.chosen import Local
    from tasks.rows.canonical import turns
    from tasks.template.preview import Preview
    from tasks.template.rows import Templater
    from tasks.template.run import LOST, split
    from tasks.template.settings import Settings
    from tasks.template.tokenizer import load

    without_torch()  # as the stage's own process: what is loaded is forked
    lay_rows(source, place, None)
    paths, settings = Paths(place), Settings(max_loss=1)
    coder, _ = load(base, settings)

    def ours() -> int:
        templater = Templater(coder, settings, stop_ids(base, coder), 131_072, None)
        with pq.ParquetWriter(place / "lost.parquet", LOST) as lost:
            return split("train", templater, paths, Preview(coder, 8), lost, Local()).tokens.came

    renderer = Templater(coder, settings, set(), 131_072, None).renderer
    known = pq.read_table(paths.clean / "train.parquet").to_pylist()
    texts = [renderer.render(turns(row["messages"]), json.loads(row["tools"] or "null")) for row in known]
    rust: Any = coder._tokenizer

    def trl(row: dict[str, Any]) -> int:
        """What `SFTTrainer` does with a row, in one process: tokens, and the mask of its answer.

        It masks the tokens that prompt and row begin with alike (trl, `_prepare_dataset`). A row with several
        answers goes without a mask: this template does not mark them, and trl has no variant of it that does.
        """
        messages, tools = turns(row["messages"]), json.loads(row["tools"] or "null")
        mask = ids = coder.apply_chat_template(messages, tools=tools, return_dict=True)["input_ids"]
        if [message["role"] for message in messages].count("assistant") == 1 and messages[-1]["role"] == "assistant":
            given = coder.apply_chat_template(messages[:-1], tools=tools, return_dict=True, add_generation_prompt=True)
            start = sum(
                1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(given["input_ids"], ids, strict=False))
            )
            mask = [0] * start + [1] * (len(ids) - start)
        return len(mask)

    ways: dict[str, Callable[[], int]] = {
        "temper": ours,
        "bare": lambda: sum(len(one.ids) for one in rust.encode_batch(texts, add_special_tokens=False)),
        "bare_fast": lambda: sum(len(one.ids) for one in rust.encode_batch_fast(texts, add_special_tokens=False)),
        "trl": lambda: sum(map(trl, known)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    computed: dict[str, list[float]] = {name: [] for name in ways}
    tokens = {name: way() for name, way in ways.items()}  # once to warm up
    for _ in range(rounds):
        for name, way in ways.items():
            start, before = time.perf_counter(), _processor()
            tokens[name] = way()
            seconds[name].append(time.perf_counter() - start)
            computed[name].append(_processor() - before)
    cpu = {name: median(times) for name, times in computed.items()}
    medians = {name: median(times) for name, times in seconds.items()}
    return {
        "rows": len(known),
        "tokens": tokens,
        "tokens_a_second": {name: round(tokens[name] / medians[name]) for name in ways},
        "ratio": round(medians["temper"] / medians["bare"], 3),
        "ratio_to_fast": round(medians["temper"] / medians["bare_fast"], 3),
        "processor_seconds": {name: round(cpu[name] / cpu["bare"], 3) for name in ways},
    }


def _processor() -> float:
    """Seconds that processors computed for this process and its workers, which other programs disturb less."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _memory(place: Path, base: Path, rows: int) -> dict[str, Any]:
    from tasks.core.files import write_json
    from tasks.core.imports import without_torch
    from tasks.core.paths import Paths
    from tasks.engine.local import cores
    from tasks.models.record import describe, identity
    from tasks.template.settings import Settings
    from tasks.template.stage import run

    without_torch()
    paths = Paths(place)
    files = describe(base)
    origin = {"kind": "folder", "location": str(base), "revision": None, "files": files, "sha256": identity(files)}
    write_json(paths.base / "base.json", origin)
    start = time.perf_counter()
    run(Settings(max_loss=1), paths)
    seconds = round(time.perf_counter() - start, 1)
    mine, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # what they share is counted in each: more than it is, never less
    return {"rows": rows, "seconds": seconds, "peak_mib": round((mine + (cores() - 1) * workers) / 1024)}


def main() -> None:
    """One measurement, in this process; the last line is what was found."""
    what, *places, how = sys.argv[1:]
    place, source, base = map(Path, places)
    values: dict[str, Any] = {}
    if what == "rows":
        lay_rows(source, place, int(how))
    else:
        values = _speed(place, source, base, ROUNDS[how]) if what == "speed" else _memory(place, base, int(how))
    print(json.dumps(values))


if __name__ == "__main__":
    main()
