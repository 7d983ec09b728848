"""Texts among the held-out rows: nobody can be asked them, but how likely a model finds them can be told.

Their tokens are those that the stage template makes, and each is predicted once, from what stands before it in a window
of the model's context; but for the first one of a text, which nothing stands before where the tokenizer begins rows
with no token of its own.
"""

from typing import Any

from tasks.evaluate.questions import Question
from tasks.template.encode import Encoder
from tasks.template.sequence import begin_id, text_sequences

Row = dict[str, Any]
Ids = list[int]


def is_text(row: Row) -> bool:
    """Whether nothing asks for what the row says: it is a text."""
    return bool(row.get("text")) and len(row["messages"]) == 1


def as_question(row: Row) -> Question:
    """The row as a question without words."""
    return Question(row["id"], "", row["text"], (), 0)


class Windows:
    """Cuts texts as `tokenizer` does, into windows of at most `context` tokens."""

    def __init__(self, tokenizer: Any, context: int) -> None:
        self._encoder, self._begin, self._context = Encoder(tokenizer), begin_id(tokenizer), context

    def of(self, text: str) -> list[tuple[Ids, Ids]]:
        """The tokens of each window: what it begins with, which is known, and what follows it.

        A window begins with the last token of the one before it, as lm-eval's rolling windows do with one token of
        context.
        """
        (sequence,) = text_sequences(self._encoder, [text], self._begin)
        ids = sequence.ids
        return [
            (ids[at : at + 1], ids[at + 1 : at + self._context]) for at in range(0, len(ids) - 1, self._context - 1)
        ]
