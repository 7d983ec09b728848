"""What it costs to ask about the rows of a split, by the rows alone.

price(settings.teacher, paths.tokens("train")).tokens
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.core.errors import InputError
from tasks.rows.canonical import IGNORED
from tasks.teacher.settings import Form, Teacher


@dataclass(frozen=True)
class Price:
    """Of the rows that have something to ask about; those that are the same are paid for once, so it may be less."""

    rows: int
    tokens: int
    """Sent and answered."""
    cost: float
    """At the teacher's prices, in their currency."""


def price(teacher: Teacher, file: Path, form: Form = "prompt_logprobs") -> Price:
    """Of the rows in `file` (Arrow IPC stream): of each the tokens up to its last label, and one that is answered.

    By the form next_token: of each labelled token those before it, and one that is answered.
    Raises `InputError` where the file is no such stream.
    """
    try:
        return _price(teacher, file, form)
    except pa.ArrowInvalid as error:
        raise InputError(f"{file}: not rows as a stage writes them ({error}); run the stage template again.") from None


def _price(teacher: Teacher, file: Path, form: Form) -> Price:
    rows = sent = answered = 0
    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        for batch in stream:
            labels = batch.column("labels")
            offsets, labelled = labels.offsets.to_numpy(), labels.values.to_numpy() != IGNORED
            for start, end in pairwise(offsets.tolist()):
                positions = np.flatnonzero(labelled[start + 1 : end])  # nothing predicts the first token
                if len(positions):
                    rows += 1
                    each = form == "next_token"
                    sent += int((positions + 1).sum()) if each else int(positions[-1]) + 2
                    answered += len(positions) if each else 1
    return Price(rows, sent + answered, (sent * teacher.input_price + answered * teacher.output_price) / 1e6)
