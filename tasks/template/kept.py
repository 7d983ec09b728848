"""What became of rows, as bytes: kept for later runs, which do not work on rows that stay (`tasks.rows.parts`).

JSON in one line, then the token ids of all sequences one behind the other (int32, little-endian).
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.core.paths import Paths
from tasks.models.record import base_record
from tasks.rows.parts import Parts
from tasks.template.arrow import Batch, records
from tasks.template.outcome import Outcome
from tasks.template.prompts import cache_key
from tasks.template.rows import Templater
from tasks.template.sequence import Sequence

IDS = np.dtype("<i4")

UNRELATED = {"packing", "max_loss", "max_answer_loss", "preview_rows"}
"""Settings on which the outcome of a row does not depend."""

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".npz")
"""Ends of the names of files in which the tokenizer has no part."""


def parts_of(paths: Paths, templater: Templater) -> Parts:
    """What earlier runs made of rows with this tokenizer, chat template, settings and code."""
    tokenizer = templater.encoder.tokenizer
    files = base_record(paths)["files"]
    about = {
        "tokenizer": {name: file["sha256"] for name, file in files.items() if not name.endswith(WEIGHTS)},
        "chat_template": tokenizer.chat_template,
        "control_tokens": [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, templater.encoder.controls],
        "stops": sorted(templater.stops),
        "longest": [templater.limit, templater.vocabulary],
        "settings": templater.settings.model_dump(mode="json", exclude=UNRELATED),
    }
    return Parts.of(paths, "template", about)


def to_bytes(outcomes: list[Outcome]) -> bytes:
    """The outcomes of some rows; `from_bytes` gives them back."""
    lines = [{**vars(outcome), "sequences": [_described(part) for part in outcome.sequences]} for outcome in outcomes]
    ids = [np.ascontiguousarray(part.tokens, IDS).tobytes() for outcome in outcomes for part in outcome.sequences]
    return b"\n".join((json.dumps(lines).encode(), b"".join(ids)))


def from_bytes(content: bytes) -> list[Outcome]:
    """What `to_bytes` wrote."""
    head, _, rest = content.partition(b"\n")
    ids = np.frombuffer(rest, IDS).astype(np.int32)  # a copy, as arrays over bytes cannot be written to
    outcomes, start = [], 0
    for line in json.loads(head):
        sequences = []
        for length, runs, problems, lost, texts in line["sequences"]:
            spans = tuple((begin, end) for begin, end in runs)
            sequences.append(Sequence(ids[start : start + length], spans, Counter(problems), lost, tuple(texts)))
            start += length
        counts = {name: Counter(line[name]) for name in ("notes", "reasoning")}
        outcomes.append(Outcome(**{**line, **counts, "sequences": sequences}))
    return outcomes


def _described(part: Sequence) -> tuple[int, Any, Counter[str], list[str], tuple[int, ...]]:
    return len(part.tokens), part.runs, part.problems, part.lost, part.texts


class KeptOutcomes:
    """What `work` makes of rows, from `parts` where an earlier run left it there. Any process may call it."""

    def __init__(self, work: Callable[[Batch], list[Outcome]], parts: Parts) -> None:
        self._work, self._parts = work, parts

    def __call__(self, batch: Batch) -> list[Outcome]:
        """What becomes of each row, in their order."""
        rows = records(batch)
        key = self._parts.key(cache_key(rows))
        if (kept := self._parts.get(key)) is not None:
            return from_bytes(kept)
        outcomes = self._work(rows)
        if all(outcome.reason != "unrenderable" for outcome in outcomes):  # a busy machine may have been the reason
            self._parts.put(key, to_bytes(outcomes))
        return outcomes
