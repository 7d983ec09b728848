"""Which tokens of a tokenizer steer a model: the special ones, and others that were added for its chat template."""

import re
from typing import Any

CONTROL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?[A-Z_]{2,30}\]|<\uff5c[^<>\s]{1,40}\uff5c>|<(?:start|end)_of_turn>|<[be]os>"
    r"|<\|[a-z_]{1,40}>|<[a-z_]{1,40}\|>|<end_of_utterance>"
)
"""What control tokens look like."""


def special_tokens(tokenizer: Any) -> dict[str, Any]:
    """Special tokens: text -> how it was added."""
    return {one.content: one for one in tokenizer.added_tokens_decoder.values() if one.special}


def added_control_tokens(tokenizer: Any) -> dict[str, Any]:
    """Tokens that were added as no special ones and steer all the same, such as <tool_call>: text -> how it was added.

    They are those that look so, and those that the chat template names. Others are words, or runs of space.
    """
    template = str(tokenizer.chat_template)
    others = [one for one in tokenizer.added_tokens_decoder.values() if not one.special]
    named = {one.content for one in others if one.content in template and _BRACKETED.fullmatch(one.content)}
    return {one.content: one for one in others if one.content in named or CONTROL.fullmatch(one.content)}


def is_tag(token: str) -> bool:
    """Whether an added token is one that a model writes within its turn, such as <think>, and none that ends one."""
    return not CONTROL.fullmatch(token)


_BRACKETED = re.compile(r"\S*[^\w\s]\S*")
"""A token with a bracket, or another character that is in no word."""


def token_pattern(tokens: Any) -> re.Pattern[str]:
    """Finds any of the tokens in a text, the longest first."""
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")
