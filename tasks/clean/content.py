"""What a row says, whatever shape it came in."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Turn = dict[str, Any]
"""`{"role", "content"}`, and `"extra"`: every other key of the message as a JSON object, or None."""


class Unusable(Exception):
    """A record that cannot become a row; carries the reason."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Finding:
    """Something that was found in a row."""

    name: str
    """What, as a slug: a line of the ledger."""
    shown: str
    """The passage in question, for a reader."""
    drops: bool = False
    """Whether the row leaves for it."""


SHOWN = 160
"""Characters of a passage that are shown."""


def excerpt(text: str, *, end: bool = False) -> str:
    """The beginning of a text, or its end, in valid Unicode."""
    shown = text[-SHOWN:] if end else text[:SHOWN]
    return shown.encode("utf-8", "backslashreplace").decode()


@dataclass
class Content:
    """Messages; or prompt, chosen and rejected; or prompt, completion and label; or a text."""

    shape: str
    messages: list[Turn] | None = None
    text: str | None = None
    prompt: list[Turn] | None = None
    chosen: list[Turn] | None = None
    rejected: list[Turn] | None = None
    completion: list[Turn] | None = None
    label: bool | None = None
    """Whether the completion is a good one."""
    tools: str | None = None
    """Definitions of tools, as JSON."""
    weight: float | None = None
    """How much the row counts in training, as it came."""
    findings: list[Finding] = field(default_factory=list)
    """What was made right while it was read."""

    def parts(self) -> list[list[Turn]]:
        """Every list of turns that there is."""
        every = (self.messages, self.prompt, self.chosen, self.rejected, self.completion)
        return [turns for turns in every if turns is not None]

    def turns(self) -> list[Turn]:
        """Every turn."""
        return self._turns

    @cached_property
    def _turns(self) -> list[Turn]:
        """As every step goes over them: turns change, which there are does not."""
        return [turn for turns in self.parts() for turn in turns]

    def change(self, change: Callable[[str], str]) -> None:
        """Put every text through `change`: what turns say, and the text; not tools, calls and other keys."""
        if self.text is not None:
            self.text = change(self.text)
        for turn in self.turns():
            turn["content"] = change(turn["content"])

    def exchanges(self) -> Iterator[tuple[str, str]]:
        """What is asked and what is answered to it, for each answer in words that is to be learned.

        Not a rejected answer, nor one with a label that calls it bad.
        """
        if self.text is not None or self.label is False:
            return
        asked = ""
        for turns in (self.messages, self.prompt, self.chosen, self.completion):
            for turn in turns or ():
                if turn["role"] == "user":
                    asked = turn["content"]
                elif turn["role"] == "assistant" and turns is not self.prompt and turn["content"].strip():
                    yield asked, turn["content"]

    def identity(self) -> Any:
        """What the row's id is made of."""
        extras = [turn["extra"] for turn in self.turns()]
        plain = self.tools is None and self.label is None and not any(extras)
        if self.messages is None and self.prompt is None:
            return self.text
        dialogues = [[{"role": turn["role"], "content": turn["content"]} for turn in turns] for turns in self.parts()]
        if plain and len(dialogues) == 1:
            return dialogues[0]
        return [dialogues, extras, self.tools, self.label]

    def asked(self) -> list[Turn] | None:
        """The turns that hold what is asked; None for a text."""
        return self.messages if self.prompt is None else self.prompt

    def request(self) -> list[str]:
        """What is asked: the turns of the user, or the text."""
        asked = self.asked()
        if asked is None:
            return [self.text or ""]
        return [turn["content"] for turn in asked if turn["role"] == "user"]

    def answer(self) -> str:
        """What is answered at the end: of two answers the chosen one."""
        for turns in (self.chosen, self.completion, self.messages):
            if turns:
                return str(turns[-1]["content"])
        return self.text or ""

    def whole(self) -> str:
        """All that is said, one turn a line."""
        return "\n".join([*([self.text] if self.text else []), *(turn["content"] for turn in self.turns())])

    def characters(self) -> int:
        """Length of all turns, or of the text, in characters."""
        return len(self.text or "") + sum(len(turn["content"]) for turn in self.turns())


def as_text(value: Any) -> str:
    """`value`, which must be a text."""
    if not isinstance(value, str):
        raise Unusable("not_text")
    return value


def as_json(value: Any) -> str:
    """`value` as JSON; a text is taken for JSON already. Raises `Unusable` for NaN and infinity, which JSON lacks."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str, allow_nan=False)
    except ValueError:
        raise Unusable("not_finite") from None
