"""A GGUF file in llama.cpp beside the model that it was converted from: token ids, stops and logits.

Shapes: `T` tokens of a row, `V` vocabulary.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.chat.stops import stop_ids
from tasks.core.errors import CheckFailed, ModelError, TemperError
from tasks.core.numbers import shown
from tasks.models.apart import apart
from tasks.models.gguf.model import LlamaCpp
from tasks.models.gguf.stops import named_stops

if TYPE_CHECKING:
    from tasks.models.equivalence import Difference

DIVERGENCE = 1.0
"""Nats a token, the most that a file may be apart from its model where no setting says it."""


@dataclass(frozen=True)
class Reading:
    """What llama.cpp makes of a file."""

    logits: list[npt.NDArray[np.float32]]
    """(T, V) for each row."""
    ids: list[list[int]]
    """Token ids of each text."""
    runs_on: list[int]
    """Tokens that end a text, and at which llama.cpp does not stop."""
    context: int
    """Tokens, as the file says."""


@dataclass(frozen=True)
class Proof:
    """What was measured of a file."""

    difference: "Difference"
    context: int
    """Tokens, as the file says."""


def read_back(file: Path, rows: list[list[int]], texts: list[str], ends: list[int]) -> Reading:
    """Have llama.cpp compute `rows` and read `texts`, in a process of its own: it ends where it meets a fault."""
    return apart(file.name, _read, file, rows, texts, ends)


def check_file(file: Path) -> None:
    """Raise `ModelError` where llama.cpp cannot load `file` and compute a token."""
    try:
        apart(file.name, _compute, file)
    except TemperError as error:
        reason = str(error).removeprefix(f"{file.name}: ").removeprefix(f"{file}: ").rstrip(".")
        raise ModelError(f"{file}: llama.cpp cannot run it: {reason}; restore the file.") from None


def _compute(file: Path) -> None:
    LlamaCpp(file).logits([0])


def _read(file: Path, rows: list[list[int]], texts: list[str], ends: list[int]) -> Reading:
    model = LlamaCpp(file)
    return Reading(
        [model.logits(row) for row in rows],
        [model.tokenize(text) for text in texts],
        [token for token in ends if not model.ends(token)],
        model.config.max_position_embeddings,
    )


def prove(merged: Path, file: Path, texts: list[str], what: str) -> Proof:
    """Compare `file` with the model in `merged` on rendered chats.

    Raises `CheckFailed` for other token ids, a stop that is none to llama.cpp, or logits that are too far.
    """
    import torch

    from tasks.models.equivalence import TOKENS, compare, logits
    from tasks.models.loading import load_model, load_tokenizer

    tokenizer = load_tokenizer(merged)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    rows = [row[:TOKENS] for row in ids if row]
    ends = stop_ids(merged, tokenizer)
    reading = read_back(file, rows, texts, named_stops(tokenizer, ends).known)
    check_reading(reading, ids, what)
    expected = logits(load_model(merged, torch.float32), rows, f"{what}: logits")
    measured = list(map(torch.from_numpy, reading.logits))
    difference = compare(expected, measured, what, ends)
    if difference.divergence > DIVERGENCE:
        raise CheckFailed(
            f"{what}: llama.cpp diverges from the merged model by {shown(difference.divergence, 3)} nats per token; "
            "use a type with more bits, or remove ollama from export.formats."
        )
    return Proof(difference, reading.context)


def check_reading(reading: Reading, ids: list[list[int]], what: str) -> None:
    """Raise `CheckFailed` where llama.cpp reads other token ids than `ids`, or does not stop where the model does."""
    if reading.ids != ids:
        raise CheckFailed(
            f"{what}: llama.cpp and the merged model's tokenizer give different token ids for the same text, so the "
            "model would read other tokens than in training; remove this format, and report this tokenizer."
        )
    if reading.runs_on:
        raise CheckFailed(
            f"{what}: the model ends its answers with token {reading.runs_on[0]}, but llama.cpp does not stop there; "
            "remove this format, and report this tokenizer."
        )
