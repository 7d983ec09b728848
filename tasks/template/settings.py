"""Settings of templating."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.core.settings import Settings as Section

Share = Annotated[float, Field(ge=0, le=1)]

Over = Literal["error", "drop", "truncate_prompt", "truncate_answer", "split"]
"""What happens to a row that is longer than allowed."""

Trained = Literal["assistant", "last", "completion", "all"]
"""Which tokens carry a loss."""


class Settings(Section):
    """The section `template`."""

    chat_template: str | None = None
    """null: the tokenizer's own, or `plain` where it has none. Else a file in tasks/template/chat by its name without
    ending, such as chatml, or a jinja file in data/templates by its path, such as data/templates/mine.jinja."""
    new_tokens: tuple[str, ...] = ()
    """Control tokens that the chat template writes and the tokenizer lacks, such as <|im_start|>: they are added, the
    base's embeddings grow, and the new rows are trained and saved with the adapter."""
    train_on: Trained = "assistant"
    """Tokens with a loss. assistant: every turn of the assistant; last: only the last one; completion: those after the
    last user turn; all: every token. Turns of weight 0 never have one."""
    turns: Literal["together", "apart"] = "together"
    """together: a dialogue is one row. apart: each turn of the assistant is a row with what stood before it, for
    templates that render a turn otherwise once others follow it (that drop earlier reasoning, that move tools)."""
    max_length: Annotated[int, Field(ge=2)] | None = None
    """Longest row, in tokens; null: the context of the base (max_position_embeddings)."""
    over_length: Over = "error"
    """What happens to a longer row. error: the run stops and names it; drop: it leaves; truncate_prompt: its oldest
    turns leave, never the system prompt, the last user turn or the answer; truncate_answer: its end is cut, without a
    false stop; split: texts become windows, dialogues parts of whole exchanges. All of it is counted."""
    packing: bool = False
    """Rows share sequences of at most max_length tokens, kept apart by their positions; no row is cut for it."""
    max_loss: Share = 0.0
    """Share of the rows (0 to 1) that may leave or be cut before the run stops. A text in windows keeps every token,
    and is not counted here."""
    max_answer_loss: Share | None = None
    """Share of the answers' tokens (0 to 1) that may be lost with them; null: as max_loss."""
    preview_rows: Annotated[int, Field(ge=0)] = 8
    """Rows shown in the preview, with their trained tokens marked."""
