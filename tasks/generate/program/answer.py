"""The command that answers a request, found by the grammar."""

from tasks.generate.program.intents import Grammar, Intent, fill


def answer(grammar: Grammar, request: str) -> str | None:
    """The command that `request` asks for, or None where no phrasing fits. Held-out phrasings are known here too."""
    for opening in sorted({opening for opening in grammar.openings if opening}, key=len, reverse=True):
        if request.startswith(f"{opening} ") and (command := _find(grammar, request[len(opening) + 1 :])):
            return command
    return _find(grammar, request)


def _find(grammar: Grammar, request: str) -> str | None:
    spoken = request.removesuffix("?").split()
    for intent, pattern in grammar.patterns.get(len(spoken), []):
        if (values := _match(grammar, intent, pattern, spoken)) is not None:
            return fill(intent.command, values)
    return None


def _match(grammar: Grammar, intent: Intent, pattern: list[str], spoken: list[str]) -> dict[str, str] | None:
    """Values of the slots where `spoken` follows `pattern`, which has as many words, word by word; else None."""
    values: dict[str, str] = {}
    for piece, word in zip(pattern, spoken, strict=True):
        if piece.startswith("{"):
            slot = piece.strip("{}")
            if word not in grammar.values[intent.slots[slot]]:
                return None
            values[slot] = word
        elif piece != word:
            return None
    return values
