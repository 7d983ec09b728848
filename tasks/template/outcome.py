"""A row on its way: what it holds, and what became of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.rows.canonical import Message
from tasks.template.dialogue import RenderedDialogue
from tasks.template.sequence import Sequence

Kind = Literal["sequence", "preference", "judged"]
"""What rows become: token ids with labels; a prompt with a chosen and a rejected answer; a prompt with a judged one."""


@dataclass
class Outcome:
    """What became of a row."""

    id: str
    kind: Kind = "sequence"
    sequences: list[Sequence] = field(default_factory=list)
    """What is trained: one, or parts of a row; of a preference the chosen and the rejected, each after its prompt."""
    tokens: int = 0
    """Length of the row before it was fitted."""
    most: int = 0
    """Length of its longest text before it was fitted, where it is several; 0: `tokens` is the length that counts."""
    answers: int = 0
    """Tokens of it that would be trained."""
    reason: str | None = None
    """Why it leaves."""
    cut: str | None = None
    """What of it was cut: `oldest_turns`, `answer`, `windows` or `exchanges`."""
    notes: Counter[str] = field(default_factory=Counter)
    """Every slug that applies."""
    label: bool | None = None
    detail: str | None = None
    """What the chat template said when it refused the row, or what it left out of it."""
    reasoning: Counter[str] = field(default_factory=Counter)
    """Its trained turns with reasoning, by what became of it."""
    order: float | str | None = None
    """What `clean.order_key` names of it."""
    unread: str | None = None
    """Which key of a turn has no effect."""

    @property
    def lost(self) -> str:
        """Characters that the tokenizer cannot represent, each once."""
        return "".join(dict.fromkeys(character for part in self.sequences for character in part.lost))

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, of a preference or a judged answer."""
        return self.sequences[0].runs[0][0]

    @property
    def length(self) -> int:
        """Tokens that go on."""
        whole = sum(len(sequence) for sequence in self.sequences)
        return whole - self.prompt if self.kind == "preference" and len(self.sequences) == 2 else whole

    @property
    def trained(self) -> int:
        """Trained tokens that go on."""
        return sum(sequence.trained for sequence in self.sequences)


@dataclass
class Plan:
    """A row, its dialogues as text, and what is needed to make them anew, shorter."""

    row: dict[str, Any]
    tools: list[Any] | None
    kind: Kind = "sequence"
    text: str | None = None
    messages: list[Message] = field(default_factory=list)
    prompt: list[Message] = field(default_factory=list)
    answers: list[list[Message]] = field(default_factory=list)
    dialogues: list[RenderedDialogue] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    error: str | None = None
