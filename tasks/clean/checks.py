"""What a row must be: turns in order, none empty, an answer at the end, calls with results, in valid Unicode."""

import json
from itertools import pairwise

from tasks.clean.calls import results_fault
from tasks.clean.content import Content, Turn

AFTER = {
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}
"""Which roles may follow each role."""


def fault(content: Content) -> str | None:
    """Why the row must leave, or None.

    `bad_unicode`, `empty_turn`, `no_answer`, `role_order`, `call_without_result`, `result_without_call`,
    `duplicate_result`, `equal_pair` (chosen and rejected are the same).
    """
    if not _is_unicode(content):
        return "bad_unicode"
    if content.text is not None:
        return None if content.text.strip() else "empty_turn"
    if content.messages is not None:
        return _conversation(content.messages)
    prompt = content.prompt or []
    for answers in (content.chosen, content.rejected, content.completion):
        if answers is not None and (fault_name := _conversation([*prompt, *answers])):
            return fault_name
    return "equal_pair" if content.chosen is not None and content.chosen == content.rejected else None


def _conversation(turns: list[Turn]) -> str | None:
    roles = [turn["role"] for turn in turns]
    if not roles or roles[-1] != "assistant":
        return "no_answer"
    if not _says(turns[-1]):
        return "no_answer"
    if not all(_says(turn) or turn["role"] == "tool" for turn in turns):
        return "empty_turn"
    for before, after in pairwise(turns):
        if _calls(before) and after["role"] != "tool":
            return "call_without_result"
        if after["role"] == "tool" and before["role"] != "tool" and not _calls(before):
            return "result_without_call"
    follows = all(after in AFTER[before] for before, after in pairwise(roles))
    return results_fault(turns) if roles[0] in ("system", "user") and follows else "role_order"


def _says(turn: Turn) -> bool:
    return bool(turn["content"].strip()) or _calls(turn)


def _calls(turn: Turn) -> bool:
    """Whether an assistant's turn calls a tool."""
    if turn["role"] != "assistant" or '"tool_calls"' not in (turn["extra"] or ""):
        return False
    return bool(json.loads(turn["extra"]).get("tool_calls"))


def _is_unicode(content: Content) -> bool:
    """Whether everything can be written as UTF-8; JSON can hold halves of surrogate pairs, which cannot."""
    texts = [content.text or "", content.tools or ""]
    try:
        "".join([*texts, *(turn["content"] + (turn["extra"] or "") for turn in content.turns())]).encode()
    except UnicodeEncodeError:
        return False
    return True
