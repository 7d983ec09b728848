"""Tokens by their texts, for servers that tell texts and no ids."""

from typing import Any

from tasks.teacher.scores import Name

REPLACEMENT = "\ufffd"
"""What stands for bytes that are no whole character."""


def ids_by_text(tokenizer: Any) -> dict[str, int]:
    """The token of each text that one token alone has, as a server writes it where others stand before it.

    Texts of several tokens, and parts of characters, name no token: what they have counts among all others (the tail).
    """
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    spaced = any("▁" in token for token in tokens)  # SentencePiece, whose decoder takes the first space away
    texts = [token.replace("▁", " ") if spaced else tokenizer.decode([place]) for place, token in enumerate(tokens)]
    known: dict[str, int] = {}
    several = set()
    for token, text in enumerate(texts):
        if known.setdefault(text, token) != token:
            several.add(text)
    return {text: token for text, token in known.items() if text and REPLACEMENT not in text and text not in several}


class Names:
    """Ids of what a server names; texts are looked up when the first one comes."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.size = tokenizer, len(tokenizer)
        self._known: dict[str, int] | None = None

    def id(self, name: Name) -> int | None:
        """The id of `name`; None where no single token of the tokenizer has that name."""
        if isinstance(name, int):
            return name if name < self.size else None
        if self._known is None:
            self._known = ids_by_text(self.tokenizer)
        return self._known.get(name)
