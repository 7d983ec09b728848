"""Which characters of a rendered dialogue are trained: the assistant's contents and the stop token of each turn.

Taken from the template's `{% generation %}` marks where it has them; else derived by rendering the dialogue up to each
turn, which is right wherever the prompt of a turn is a prefix of the whole render (check `prefix`).
"""

import re
from typing import Any

from tasks.contract.errors import ModelError
from tasks.template.render import render

MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""The mark of generated text in a chat template (transformers, `return_assistant_tokens_mask`)."""

Span = tuple[int, int]


def spans(tokenizer: Any, messages: list[dict[str, Any]], text: str) -> list[Span]:
    """Start and end, in characters of `text`, of what each assistant turn trains, in order."""
    if MARKED.search(tokenizer.chat_template):
        return _marked(tokenizer, messages, text)
    return _derived(tokenizer, messages, text)


def mask(offsets: list[Span], trained: list[Span]) -> list[bool]:
    """For each token, given its characters, whether it lies in a trained span; a token across an edge does not."""
    result = []
    index = 0
    for start, end in offsets:
        while index < len(trained) and trained[index][1] <= start:
            index += 1
        inside = index < len(trained) and trained[index][0] <= start and end <= trained[index][1] and start < end
        result.append(inside)
    return result


def _marked(tokenizer: Any, messages: list[dict[str, Any]], text: str) -> list[Span]:
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, indices = render_jinja_template(
        conversations=[messages],
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    if rendered[0] != text:
        raise ModelError("the chat template renders differently with its generation marks; it cannot mask.")
    return [(start, end) for start, end in indices[0] if start < end]


def _derived(tokenizer: Any, messages: list[dict[str, Any]], text: str) -> list[Span]:
    found = []
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = render(tokenizer, messages[:turn], generation_prompt=True)
        content = str(message["content"]).strip()
        start = text.find(content, len(before)) if text.startswith(before) else -1
        if start < 0:
            continue  # the checks report the row: a turn without a trained span
        end = start + len(content)
        stop = re.match(r"\s*" + re.escape(tokenizer.eos_token), text[end:])
        found.append((len(before), end + (stop.end() if stop else 0)))
    return found
