"""What must hold for every row before it is trained; each check is a slug that the audit counts.

After DESIGN's ten checks: coverage (2), scaffold (3), supervision (4), prefix (5), stop (6).
"""

from typing import Any

from tasks.template.render import encode, render

CHECKS = {
    "too_long": "the row has more tokens than max_length",
    "coverage": "a message's text does not occur in the render: the template drops or changes it",
    "scaffold": "text of a message became control tokens, or a control token is doubled",
    "supervision": "the trained tokens are not the assistant's text and one stop token a turn",
    "prefix": "the prompt of a turn, as used to generate, is no prefix of what is trained",
    "stop": "a trained turn does not end in the token at which generation stops",
}
"""Slug and meaning of each reason for which a row is refused."""


def failed(
    tokenizer: Any, messages: list[dict[str, Any]], text: str, ids: list[int], trained: list[bool], stops: set[int]
) -> str | None:
    """The slug of the first check that the row fails, or None."""
    contents = [str(message.get("content") or "").strip() for message in messages]
    answers = [content for message, content in zip(messages, contents, strict=True) if message["role"] == "assistant"]
    if not all(content in text for content in contents):
        return "coverage"
    if _controls(tokenizer, ids) != _scaffold(tokenizer, messages):
        return "scaffold"
    runs = _runs(ids, trained)
    if len(runs) != len(answers):
        return "supervision"
    for run, answer in zip(runs, answers, strict=True):
        if run[-1] not in stops:
            return "stop"
        if tokenizer.decode(run[:-1], skip_special_tokens=False).strip() != answer:
            return "supervision"
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            before = encode(tokenizer, render(tokenizer, messages[:turn], generation_prompt=True))
            if ids[: len(before)] != before:
                return "prefix"
    return None


def _scaffold(tokenizer: Any, messages: list[dict[str, Any]]) -> list[int]:
    """Control ids of the same dialogue with harmless contents: what the template itself writes."""
    harmless = [{**message, "content": "x"} for message in messages]
    return _controls(tokenizer, encode(tokenizer, render(tokenizer, harmless)))


def _controls(tokenizer: Any, ids: list[int]) -> list[int]:
    controls = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return [token for token in ids if token in controls]


def _runs(ids: list[int], trained: list[bool]) -> list[list[int]]:
    """The trained tokens, cut into unbroken runs: one for each assistant turn."""
    runs: list[list[int]] = []
    previous = False
    for token, inside in zip(ids, trained, strict=True):
        if inside and not previous:
            runs.append([])
        if inside:
            runs[-1].append(token)
        previous = inside
    return runs
