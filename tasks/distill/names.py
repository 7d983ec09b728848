"""Tokens by their texts, for servers that tell texts and no ids."""

from typing import Any

from tasks.core.errors import InputError
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
        self._by_text: dict[str, int] | None = None
        self._known = self._unknown = 0
        self._example = ""

    def id(self, name: Name) -> int | None:
        """The id of `name`; None where no single token of the tokenizer has that name."""
        if isinstance(name, int):
            return name if 0 <= name < self.size else None
        if self._by_text is None:
            self._by_text = ids_by_text(self.tokenizer)
        token = self._by_text.get(name)
        self._known += token is not None
        if token is None:
            self._unknown, self._example = self._unknown + 1, name
        return token

    def check(self, row: str) -> None:
        """Raise `InputError` where most texts that came for `row` name no token."""
        if self._unknown > self._known:
            raise InputError(
                f"distill: {self._unknown} of {self._unknown + self._known} tokens that the server names for row {row} "
                f"are not in the base's tokenizer, such as {self._example[:40]!r}; use a teacher of the same family, "
                "or a distill.form that returns token ids."
            )
