"""What becomes of the reasoning of trained turns: it stands in their trained text, or the template left it out."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tasks.chat.reasoning import ReasoningReader, Split
from tasks.rows.canonical import Message
from tasks.template.markers import REASONING_FIELDS, Slot
from tasks.template.markup import Turn
from tasks.template.offsets import Span

TRAINED, LAST, EARLIER = "trained", "last_turn", "earlier_turns"
"""Where reasoning is: in the trained text; left out of a row's last turn; left out of one that others follow."""


class ReasoningAudit:
    """Counts the trained turns of a dialogue that have reasoning, in a field of its own or at the head of content."""

    def __init__(self, reader: ReasoningReader) -> None:
        self._reader = reader

    def fates(self, messages: list[Message], wanted: tuple[int, ...], trained: dict[int, str]) -> dict[int, str]:
        """By the number of their message, the turns of `wanted` with reasoning: `TRAINED`, `LAST` or `EARLIER`.

        `trained`: by that number, the texts with a loss; see `trained_texts`.
        """
        fates = {}
        for number in wanted:
            split = self._reader.of_message(messages[number])
            if split.reasoning:
                whole = _stands(split, trained.get(number, ""))
                followed = any(message["role"] == "assistant" for message in messages[number + 1 :])
                fates[number] = TRAINED if whole else EARLIER if followed else LAST
        return fates

    def is_reshaped(self, slot: Slot, message: Message, text: str) -> bool:
        """Whether the content of a message is all in its trained `text`, but for space and markers at its reasoning."""
        split = self._reader.of_message(message)
        whole = bool(split.reasoning) and split.answer.strip() in text and _stands(split, text)
        return slot.field == "content" and whole

    def describe(self, slot: Slot, message: Message, fates: dict[int, str]) -> str:
        """What the template left out, for the message of the check `coverage`; of reasoning also where it did."""
        role = message["role"]
        if slot.field not in REASONING_FIELDS and fates.get(slot.message, TRAINED) == TRAINED:
            return f"{slot.field} of the {role}"
        if TRAINED in fates.values():
            return f"reasoning of the {role} in earlier turns, not in the last: template.turns: apart trains all of it"
        return f"reasoning of the {role}: choose a template that writes it, or remove it from the rows"


def trained_texts(turns: Iterable[Turn], spans: list[Span], text: str) -> dict[int, str]:
    """By the number of their message, the texts of the turns with a loss, in the characters `spans` of `text`."""
    return {turn.message: text[start:end] for turn, (start, end) in zip(turns, spans, strict=True)}


def _stands(split: Split, text: str) -> bool:
    """Whether each line of the reasoning is in the text of its turn, before the answer: templates trim lines."""
    before, answer, _ = text.rpartition(split.answer.strip() or "\0")
    return all(line.strip() in (before if answer else text) for line in split.reasoning.splitlines())


def summary(counts: Counter[str]) -> dict[str, Any]:
    """What `audit.json` says of reasoning: trained turns that have some, and what became of it."""
    return {
        "turns": counts.total(),
        "trained": counts[TRAINED],
        "left_out": {LAST: counts[LAST], EARLIER: counts[EARLIER]},
    }
