"""Settings of templating."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.contract.settings import Settings as Section

Share = Annotated[float, Field(ge=0, le=1)]


class Settings(Section):
    """The section `template`."""

    chat_template: str | None = None
    """null: the tokenizer's own. Else a file in tasks/template/chat by its name without ending, such as plain."""
    max_length: Annotated[int, Field(ge=2)] | None = None
    """Longest row, in tokens; null: the context of the base (max_position_embeddings)."""
    over_length: Literal["error", "drop"] = "error"
    """What happens to a longer row. error: the run stops and names it; drop: it leaves, counted. Nothing is cut."""
    max_loss: Share = 0.0
    """Share of the rows that may leave (too long, or failing a check) before the run stops."""
    preview_rows: Annotated[int, Field(ge=0)] = 8
    """Rows shown in the preview, with their trained tokens marked."""
