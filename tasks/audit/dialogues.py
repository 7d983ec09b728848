"""Built-in dialogues that a chat template must survive, each with what it tries."""

from typing import Any

from tasks.chat.renderer import PROBE_TOOL
from tasks.rows.canonical import Message


def _called(city: str, number: int) -> Message:
    call = {"name": "weather", "arguments": f'{{"city": "{city}", "days": 2}}'}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": f"call{number:05d}", "type": "function", "function": call}],
    }


WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        **PROBE_TOOL["function"],
        "name": "weather",
        "description": "The weather of the next days.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}

SYSTEM: Message = {"role": "system", "content": "You are a helpful clerk."}
QUESTION: Message = {"role": "user", "content": "Where is the library?"}
ANSWER: Message = {"role": "assistant", "content": "Behind the town hall."}


def dialogues(quoted: str) -> dict[str, tuple[list[Message], list[Any] | None]]:
    """Name -> messages and tools. `quoted`: a text with the template's own control tokens in it."""
    return {
        "single turn": ([QUESTION, ANSWER], None),
        "several turns": (
            [
                QUESTION,
                ANSWER,
                {"role": "user", "content": "And the mill?"},
                {"role": "assistant", "content": "By the river."},
            ],
            None,
        ),
        "equal answers": ([QUESTION, ANSWER, QUESTION, ANSWER, QUESTION, ANSWER], None),
        "system prompt": ([SYSTEM, QUESTION, ANSWER], None),
        "tools": (
            [
                {"role": "user", "content": "Will it rain in Ulm?"},
                _called("Ulm", 1),
                {"role": "tool", "content": "rain at noon", "tool_call_id": "call00001", "name": "weather"},
                {"role": "assistant", "content": "Yes, at noon."},
            ],
            [WEATHER],
        ),
        "tools, several turns": (
            [
                {"role": "user", "content": "Will it rain in Ulm?"},
                _called("Ulm", 1),
                {"role": "tool", "content": "rain at noon", "tool_call_id": "call00001", "name": "weather"},
                {"role": "assistant", "content": "Yes, at noon."},
                {"role": "user", "content": "And in Ghent?"},
                _called("Ghent", 2),
                {"role": "tool", "content": "clear sky", "tool_call_id": "call00002", "name": "weather"},
                {"role": "assistant", "content": "No, it stays dry."},
            ],
            [WEATHER],
        ),
        "thinking": (
            [
                QUESTION,
                {"role": "assistant", "content": "<think>\nThey mean the old one.\n</think>\n\nBehind the town hall."},
            ],
            None,
        ),
        "thinking, several turns": (
            [
                QUESTION,
                {"role": "assistant", "content": "<think>\nThey mean the old one.\n</think>\n\nBehind the town hall."},
                {"role": "user", "content": "And the mill?"},
                {"role": "assistant", "content": "<think>\nThere is but one.\n</think>\n\nBy the river."},
            ],
            None,
        ),
        "thinking of its own": (
            [
                QUESTION,
                {
                    "role": "assistant",
                    "content": "Behind the town hall.",
                    "reasoning_content": "They mean the old one.",
                },
            ],
            None,
        ),
        "thinking of its own, several turns": (
            [
                QUESTION,
                {**ANSWER, "reasoning_content": "They mean the old one."},
                {"role": "user", "content": "And the mill?"},
                {"role": "assistant", "content": "By the river.", "reasoning_content": "There is but one."},
            ],
            None,
        ),
        "odd spacing": (
            [
                {"role": "user", "content": "  Indent this:\n\n\treturn x \n"},
                {"role": "assistant", "content": "    return x\n\n\n"},
            ],
            None,
        ),
        "other scripts": (
            [{"role": "user", "content": "Übersetze: 猫 🐈‍⬛"}, {"role": "assistant", "content": "γάτα — кошка"}],
            None,
        ),
        "control tokens quoted": (
            [
                {"role": "user", "content": f"What does {quoted} mean?"},
                {"role": "assistant", "content": f"{quoted} ends a turn."},
            ],
            None,
        ),
    }
