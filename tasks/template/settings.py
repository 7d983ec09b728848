"""Settings of templating."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Settings as Section
from tasks.core.settings import absent

Share = Annotated[float, Field(ge=0, le=1)]

Over = Literal["error", "drop", "truncate_prompt", "truncate_answer", "split"]
"""What happens to a row that is longer than allowed."""

Trained = Literal["assistant", "last", "completion", "all"]
"""Which tokens carry a loss."""


class Embed(Section):
    """How a text becomes the input of an embedding model, and its tokens one vector."""

    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """How the vectors of a text's tokens become one. mean: their mean; cls: that of the first token, for encoders;
    last: that of the last token, for decoders. auto: what the base's folder says if sentence-transformers made it,
    otherwise mean."""
    normalize: bool = True
    """Scale each vector to length 1."""
    query: Annotated[str, Field(max_length=1000)] = ""
    """Text put before each question, such as `query: `; the prompt `query` of sentence-transformers."""
    document: Annotated[str, Field(max_length=1000)] = ""
    """Text put before each document, such as `passage: `; the prompt `document` of sentence-transformers."""


class Settings(Section):
    """The section `template`."""

    chat_template: str | None = None
    """null: the tokenizer's own, or `plain` if it has none. Otherwise a file in tasks/template/chat by its name without
    ending, such as chatml, or a Jinja file in data/templates by its path, such as data/templates/mine.jinja."""
    new_tokens: tuple[str, ...] = ()
    """Special tokens that the chat template writes and the tokenizer does not have, such as <|im_start|>: they are
    added, the base's embeddings grow, and the new rows are trained and saved with the adapter."""
    train_on: Trained = "assistant"
    """Which tokens have a loss. assistant: every assistant message; last: only the last one; completion: everything
    after the last user message; all: every token. Messages with weight 0 never do."""
    turns: Literal["together", "apart"] = "together"
    """together: a dialogue is one row. apart: each assistant message becomes a row with everything before it, for
    templates that render a message differently once others follow (they drop earlier reasoning, or move tools)."""
    max_length: Annotated[int, Field(ge=2)] | None = None
    """Longest row, in tokens; null: the context of the base (max_position_embeddings)."""
    over_length: Over = "error"
    """What to do with a longer row. error: stop the run and name the row; drop: remove it; truncate_prompt: remove its
    oldest messages, but never the system prompt, the last user message or the answer; truncate_answer: cut its end,
    without adding a false stop token; split: cut texts into windows, and dialogues into parts of whole exchanges.
    temper counts all of it."""
    packing: bool = False
    """Pack several rows into sequences of at most max_length tokens; position ids keep the rows separate, and no row is
    cut for it."""
    max_loss: Share = 0.0
    """Share of rows (0 to 1) that may be removed or cut before the run stops. A text in windows keeps every token, and
    does not count."""
    max_answer_loss: Share | None = None
    """Share of the answers' tokens (0 to 1) that may be lost with those rows; null: the same as max_loss."""
    preview_rows: Annotated[int, Field(ge=0)] = 8
    """Rows shown in the preview, with their trained tokens marked."""
    embed: Annotated[Embed | None, Field(exclude_if=absent)] = None
    """For `train.objective: embed`: each row is read as a question and the document that answers it, without a chat
    template, as the tokenizer reads single texts. null: rows are dialogues."""
