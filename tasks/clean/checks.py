"""What a row must be: turns in order, none empty, an answer at the end, of a bearable length, in valid Unicode."""

from itertools import pairwise

from tasks.clean.shapes import Content

AFTER = {
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}
"""Which roles may follow each role."""


def fault(content: Content, max_chars: int | None) -> str | None:
    """Why the row must leave, or None: `empty_turn`, `no_answer`, `role_order`, `too_long`, `bad_unicode`."""
    if not _is_unicode(content):
        return "bad_unicode"
    if max_chars is not None and content.characters() > max_chars:
        return "too_long"
    if content.messages is None:
        return None if content.text and content.text.strip() else "empty_turn"
    roles = [message["role"] for message in content.messages]
    if not roles or roles[-1] != "assistant":
        return "no_answer"
    if not content.messages[-1]["content"].strip() and content.tool_calls is None:
        return "no_answer"
    if content.tool_calls is None and not all(message["content"].strip() for message in content.messages):
        return "empty_turn"
    follows = all(after in AFTER[before] for before, after in pairwise(roles))
    return None if roles[0] in ("system", "user") and follows else "role_order"


def _is_unicode(content: Content) -> bool:
    """Whether everything can be written as UTF-8; JSON can hold halves of surrogate pairs, which cannot."""
    texts = [content.text or "", content.tools or "", content.tool_calls or ""]
    try:
        "".join([*texts, *(message["content"] for message in content.messages or ())]).encode()
    except UnicodeEncodeError:
        return False
    return True
