"""The ledger of episodes: every one that was played, with its turns, calls and rewards, and how it ended.

While a run goes on there is a file a round beside the checkpoints. A run that goes on after an interruption plays the
rounds behind its checkpoint again, to the same bytes, in their place.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.align.episodes.play import ENDS, Episode
from tasks.align.episodes.toolbox import as_text
from tasks.core.files import write_json, write_text
from tasks.statistics.paired import compare

FOLDER = "episodes"
"""Beside the checkpoints."""

LEDGER, SUMMARY = "episodes.parquet", "episodes.json"
"""In what the stage leaves."""

BEFORE, TRAINING, AFTER = "held out, before", "training", "held out, after"
"""When an episode was played."""

COUNTED = ("reward", "rewards", "calls", "failed_calls", "tokens", "end")
"""Columns of the ledger that the summary is made of, beside the turns."""

LONGEST = 10_000
"""Characters of a text in the ledger; of a longer one it has the beginning, and says how long it was."""

CHANGE = ("difference", "low", "high", "p", "wins", "losses", "ties")
"""What the summary keeps of `tasks.statistics.paired.compare`."""

PARTS = 3
"""Parts of the training that are told apart, each a row of the table."""

SCHEMA = pa.schema(
    [
        ("when", pa.string()), ("step", pa.int64()), ("row", pa.string()), ("prompt", pa.string()),
        ("opening", pa.string()), ("reference", pa.string()),
        ("turns", pa.list_(pa.struct([
            ("role", pa.string()), ("text", pa.string()), ("calls", pa.string()), ("tokens", pa.int64())
        ]))),
        ("calls", pa.int64()), ("failed_calls", pa.int64()), ("tokens", pa.int64()), ("own_tokens", pa.int64()),
        ("end", pa.string()), ("rewards", pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))),
        ("reward", pa.float64()),
    ]
)  # fmt: skip
"""Columns of the ledger; `calls` of a turn as JSON, `step` the optimiser step that learned from it, `own_tokens` those
that the model wrote, `reward` the rewards added up, each times its weight."""


def lines(
    when: str, step: int, episodes: Sequence[Episode], rewards: Sequence[dict[str, float]], weights: Sequence[float]
) -> list[dict[str, Any]]:
    """A line of the ledger an episode; `rewards`: of each, by name, in the order of `weights`."""
    return [
        {
            "when": when,
            "step": step,
            "row": episode.opening.id,
            "prompt": episode.opening.question,
            "opening": _cut(episode.world.opening),
            "reference": episode.opening.reference,
            "turns": [
                {**turn, "text": _cut(turn["text"]), "calls": as_text(turn["calls"]) if turn["calls"] else None}
                for turn in episode.turns
            ],
            "calls": sum(len(turn["calls"]) for turn in episode.turns),
            "failed_calls": episode.failed,
            "tokens": len(episode.ids),
            "own_tokens": sum(episode.mask),
            "end": episode.end,
            "rewards": [{"name": name, "value": value} for name, value in worth.items()],
            "reward": sum(weight * value for weight, value in zip(weights, worth.values(), strict=True)),
        }
        for episode, worth in zip(episodes, rewards, strict=True)
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def keep(scratch: Path, name: str, kept: list[dict[str, Any]]) -> None:
    """Write lines beside the checkpoints, in the place of those of the same name."""
    folder = scratch / FOLDER
    folder.mkdir(exist_ok=True)
    write_text(folder / f"{name}.jsonl", "".join(json.dumps(line) + "\n" for line in kept))


def write(scratch: Path, out: Path, steps: int) -> None:
    """The ledger and its summary of a run that has ended after `steps` steps."""
    summaries: dict[str, list[dict[str, Any]]] = {}
    held_out: dict[str, list[float]] = {BEFORE: [], AFTER: []}
    with pq.ParquetWriter(out / LEDGER, SCHEMA, compression="zstd") as writer:
        for kept in _kept(scratch):
            writer.write_table(pa.Table.from_pylist(kept, SCHEMA))
            for line in kept:
                held_out.get(line["when"], []).append(line["reward"])
                numbers = {name: line[name] for name in COUNTED}
                summaries.setdefault(_group(line, steps), []).append({**numbers, "turns": _own_turns(line)})
    parts = [{"name": name, **_summary(of)} for name, of in summaries.items()]
    write_json(out / SUMMARY, {"ends": ENDS, "parts": parts, "change": _change(*held_out.values())})


def _change(before: list[float], after: list[float]) -> dict[str, Any] | None:
    """What held-out episodes, the same rows in the same order, are worth more at the end; None where there are none."""
    if not before or len(before) != len(after):
        return None
    compared = compare(after, before)
    return {name: compared[name] for name in CHANGE}


def _kept(scratch: Path) -> Iterator[list[dict[str, Any]]]:
    for file in sorted((scratch / FOLDER).glob("*.jsonl")):
        yield [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _group(line: dict[str, Any], steps: int) -> str:
    if line["when"] != TRAINING:
        return str(line["when"])
    part = min((line["step"] - 1) * PARTS // max(steps, 1), PARTS - 1)
    first, last = -(-part * steps // PARTS) + 1, -(-(part + 1) * steps // PARTS)
    return f"steps {first} to {last}" if last > first else f"step {first}"


def _own_turns(line: dict[str, Any]) -> int:
    return sum(turn["role"] == "assistant" for turn in line["turns"])


def _summary(of: list[dict[str, Any]]) -> dict[str, Any]:
    """What a row of the table says of these episodes; `turns` of a line is a number here."""
    names = [one["name"] for one in of[0]["rewards"]]
    values = zip(*([one["value"] for one in line["rewards"]] for line in of), strict=True)
    return {
        "episodes": len(of),
        "reward": fmean(line["reward"] for line in of),
        "rewards": {name: fmean(column) for name, column in zip(names, values, strict=True)},
        "turns": fmean(line["turns"] for line in of),
        "calls": sum(line["calls"] for line in of),
        "failed_calls": sum(line["failed_calls"] for line in of),
        "tokens": fmean(line["tokens"] for line in of),
        "ends": dict(sorted(Counter(line["end"] for line in of).items())),
    }
