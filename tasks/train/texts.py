"""Rows as an embedding model learns them: a question, the document that answers it, and documents that do not.

    rows = text_rows(train, known_answers(train, validation))
    rows[0]  # {"texts": [[5, 9], [7, 2, 1], [4]], "answers": frozenset({...}), "marks": [...]}

Nothing is tokenised here: texts are the ids that the stage template made, told apart by the column `lengths`.
"""

from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from tasks.core.errors import InputError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.training.rows import texts_of

Answers = dict[bytes, set[bytes]]
"""By the mark of a question, those of all documents that some row gives as its answer."""


def mark(ids: list[int]) -> bytes:
    """What stands for a text: a hash of its token ids."""
    return blake2b(np.array(ids, np.int32).tobytes(), digest_size=8).digest()


@dataclass(frozen=True)
class TextRows:
    """Rows of templated texts."""

    rows: Any
    """Columns input_ids and lengths, as the stage template wrote them."""
    answers: Answers
    column_names = ("input_ids", "lengths")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        texts = texts_of(self.rows[index])
        marks = [mark(text) for text in texts]
        return {"texts": texts, "marks": marks[1:], "answers": self.answers[marks[0]]}

    @property
    def data(self) -> Any:
        """The table, by whose lengths rows are put together."""
        return self.rows.data

    @property
    def longest(self) -> int:
        """The row with the longest text."""
        return int(np.argmax([max(lengths) for lengths in self.rows["lengths"]]))

    def counts(self) -> dict[str, int]:
        """Rows, tokens of all their texts, documents that rows name as wrong, and questions that are told apart."""
        lengths = list(self.rows["lengths"])
        return {
            "rows": len(lengths),
            "text_tokens": sum(map(sum, lengths)),
            "wrong_documents": sum(len(row) - 2 for row in lengths),
            "questions": len(self.answers),
        }


def text_rows(train: Any, validation: Any, batch: int) -> tuple[TextRows, TextRows | None]:
    """`train` and `validation` (datasets of the stage template) as rows of texts; None where there is no validation.

    `batch`: rows of a batch. Raises `InputError` where the rows are dialogues, or nothing in a batch can be wrong.
    """
    for rows in (train, validation):
        if "lengths" not in rows.column_names:
            raise InputError(
                f"{PATHS.templated}: the rows are dialogues, but train.objective embed learns from single texts; "
                "set template.embed, for example to {pooling: mean}."
            )
    answers: Answers = defaultdict(set)
    for rows in (train, validation):
        for row in rows:
            question, answer, *_ = texts_of(row)
            answers[mark(question)].add(mark(answer))
    own = TextRows(train, dict(answers))
    counts, documents = own.counts(), {mark(texts_of(row)[1]) for row in train}
    if not counts["wrong_documents"] and (min(batch, len(own)) < 2 or len(documents) < 2):
        why = "has only one row" if min(batch, len(own)) < 2 else "has only one document"
        raise InputError(
            f"train.objective embed: a batch {why}, and no row has a negative, so there is nothing to compare in "
            f"{counted(len(own), 'rows')}; raise train.batch_size, or add rows."
        )
    return own, TextRows(validation, dict(answers)) if len(validation) else None
