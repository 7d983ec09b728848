"""An answer of OpenAI's chat protocol, in the forms that servers give it: text, parts, reasoning, counts of tokens.

https://platform.openai.com/docs/api-reference/chat/object; reasoning has no place there, so each server has its own:
a field of the message (DeepSeek, vLLM: `reasoning_content`; OpenRouter, Ollama: `reasoning`), a part of the content
(Mistral: `thinking`), or the text itself, between the markers of the model's chat template.
"""

from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.teacher.request import Response

REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields of a message with its reasoning; the first that is not empty counts, for some servers fill several."""

TEXTS = ("text", "thinking", "summary", "content", "reasoning")
"""Keys of a part under which its text stands, itself perhaps in parts."""

_reader = ReasoningReader()


def read_response(body: Any) -> Response:
    """The first choice of an answer. Raises `KeyError`, `TypeError` and the like where the body is none.

    An answer whose content is neither text nor parts, and whose tokens the server counts, was paid for all the same: it
    is given as one that failed, and need not be asked for again.
    """
    choice, usage = body["choices"][0], body.get("usage") or {}
    message = choice.get("message", choice)
    content = message["content"] if "message" in choice else message["text"]
    sent, answered, thought = tokens(usage)
    if not isinstance(content, str | list | None):
        problem = f"the content of the answer is not a text ({type(content).__name__})"
        if not answered:
            raise TypeError(problem)
        return Response(failed=problem, input_tokens=sent, output_tokens=answered)
    text, reasoning, refusal = _parts(content)
    reasoning = next(filter(None, (_text(message.get(name)) for name in REASONING)), reasoning)
    split = _reader.split(text)
    reason, refusal = choice.get("finish_reason"), message.get("refusal") or refusal
    if refusal and not split.answer:
        return Response(str(refusal), "content_filter", (), sent, answered, reasoning_tokens=thought)
    calls = [{"type": "function", "function": dict(call["function"])} for call in message.get("tool_calls") or ()]
    reasoning = (reasoning or split.reasoning).strip()
    return Response(
        split.answer, reason, tuple(calls), sent, answered, reasoning=reasoning, reasoning_tokens=thought
    )  # fmt: skip


def _parts(content: str | list[Any] | None) -> tuple[str, str, str]:
    """Text, reasoning and refusal of a content."""
    if not isinstance(content, list):
        return content or "", "", ""
    texts: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": []}
    for part in content:
        kind = str(part.get("type", "text")) if isinstance(part, dict) else "text"
        if "think" in kind or "reasoning" in kind:
            texts["reasoning"].append(_text(part))
        elif kind == "refusal":
            texts["refusal"].append(str(part["refusal"]))
        else:
            texts["text"].append(_text(part))
    return "".join(texts["text"]), "\n\n".join(texts["reasoning"]), "".join(texts["refusal"])


def _text(value: Any) -> str:
    """The text of a part, or of parts; nothing where it holds none, such as an image."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text, value))
    if isinstance(value, dict):
        return next((text for key in TEXTS if (text := _text(value.get(key)))), "")
    return ""


def tokens(usage: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    """Tokens sent, answered with reasoning, and of reasoning, each None where the server does not count it.

    Most servers count reasoning among the tokens answered. Some (xAI, Gemini) leave it out, and say the total, or a
    number of tokens of reasoning that is larger than that of the answer.
    """
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    sent = _count(usage.get("prompt_tokens"), usage.get("input_tokens"))
    answered = _count(usage.get("completion_tokens"), usage.get("output_tokens"))
    thought = _count(details.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    total = _count(usage.get("total_tokens"))
    if total is not None and sent is not None and total > sent + (answered or 0):
        answered = total - sent
    elif thought and thought > (answered or 0):
        answered = (answered or 0) + thought
    return sent, answered, thought


MOST_TOKENS = 2**53
"""No server counts so many; a number beyond is no count."""


def _count(*values: Any) -> int | None:
    return next((value for value in values if type(value) is int and 0 <= value < MOST_TOKENS), None)
