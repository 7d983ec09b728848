"""Dialogues on which two renders of a chat template are compared: turns, system messages, text that looks like more."""

from typing import Any

Dialogue = list[dict[str, str]]


def _turns(*contents: str, system: str | None = None) -> Dialogue:
    first = [{"role": "system", "content": system}] if system is not None else []
    roles = ("user", "assistant")
    return first + [{"role": roles[number % 2], "content": content} for number, content in enumerate(contents)]


PROMPTS: list[Dialogue] = [
    _turns("Hello"),
    _turns("Hello", system="You are terse."),
    _turns("One", "Two", "Three"),
    _turns("One", "Two", "Three", "Four", "Five", system="Count on."),
    _turns("line one\nline two\n\n\tindented"),
    _turns("Straße, 東京, مرحبا, 👩‍🔬", "ok", "{{ user }} {% if x %} <b>&amp;</b> \\n %s"),
    _turns('"""three quotes""" and \'one\'', system='Say "yes".'),
]
"""Each ends with a user's turn, so that an answer is what comes next."""


def accepted(tokenizer: Any) -> list[Dialogue]:
    """Those that the template of `tokenizer` takes; some refuse system messages."""
    dialogues = []
    for dialogue in PROMPTS:
        try:
            tokenizer.apply_chat_template(dialogue, tokenize=False, add_generation_prompt=True)
        except Exception:  # a template raises what it likes
            continue
        dialogues.append(dialogue)
    return dialogues
