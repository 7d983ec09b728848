"""Held-out rows as questions: the rendered prompt, and the reference that answers it."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS
from tasks.evaluate.call_format import common_start
from tasks.rows.canonical import REPEAT, Message, dialogue
from tasks.rows.draw import Drawable, draw
from tasks.rows.parquet import read_table

SPARE_TOKENS = 8
"""Tokens an answer may be longer than the longest reference, the end token included."""


@dataclass(frozen=True)
class Question:
    """One held-out row as it is put to a model."""

    id: str
    prompt: str
    """Text after which the answer follows."""
    reference: str
    """The right answer: the content of the last assistant turn."""
    ids: tuple[int, ...]
    """The prompt's tokens."""
    shots: int
    """Rows of the training split, or passages of documents, that stand before it."""


def rows(file: Path, *, texts: bool = False) -> tuple[list[dict[str, Any]], int]:
    """Rows of a canonical Parquet file that can be asked, their dialogue under `messages`; and how many others there
    are: texts, unless `texts` are wanted too, and answers that were judged bad.

    Raises `InputError` where none can be asked, or where a dialogue does not end with the assistant.
    """
    every: list[dict[str, Any]] = read_table(file).to_pylist()
    all_rows = [row for row in every if REPEAT not in row["id"]]  # what is trained on often is shown once
    if not all_rows:
        raise InputError(
            f"{file}: no rows, so there is nothing to evaluate on; provide a test split, or raise clean.test_share in "
            f"{PATHS.params}."
        )
    dialogues = [
        {**row, "messages": messages}
        for row in all_rows
        if (
            messages := dialogue(row) or (texts and row.get("text") and [{"role": "assistant", "content": row["text"]}])
        )
    ]
    if not dialogues:
        raise InputError(
            f"{file}: each of {counted(len(all_rows), 'rows')} is a text or an answer rated bad, so there is nothing "
            "to ask; provide a test split with dialogues or pairs, or for texts set evaluate.metrics to [{kind: "
            "perplexity}] alone."
        )
    for row in dialogues:
        if row["messages"][-1]["role"] != "assistant":
            raise InputError(f"{file}: the row {row['id']} does not end with an assistant message to compare with.")
    return dialogues, len(all_rows) - len(dialogues)


def drawn_rows(dialogues: list[dict[str, Any]], limit: int | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """At most `limit` of the rows, drawn so that they stand for all, and what is on record of it."""
    drawable = [
        Drawable(row["id"], str(row["messages"][-1].get("content") or ""), (row.get("slice"), row.get("source")))
        for row in dialogues
    ]
    indices, record = draw(drawable, limit)
    return [dialogues[index] for index in indices], record


def shots(train: list[dict[str, Any]], held_out: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The `count` rows of `train` with the smallest ids, but for those that ask what one of `held_out` asks.

    Ids are hashes of the content, so this is a random choice that stays.
    """
    questions = {question(row) for row in held_out}
    return [row for row in sorted(train, key=lambda row: str(row["id"])) if question(row) not in questions][:count]


def question(row: dict[str, Any]) -> str:
    """What the user says in a row, in lower case and with single spaces."""
    user_texts = [str(turn["content"]) for turn in row["messages"] if turn["role"] == "user"]
    return " ".join(" ".join(user_texts).lower().split())


def extras(row: dict[str, Any]) -> dict[str, Any]:
    """What scores may look at: the row's id, source and slice, its turns, and the further keys of its last message."""
    last = {key: value for key, value in row["messages"][-1].items() if key not in ("role", "content")}
    return {**last, "id": row["id"], "source": row["source"], "slice": row["slice"], "messages": row["messages"][:-1]}


def answer_room(held_out: list[dict[str, Any]], tokenizer: Any, stop_ids: set[int], context: int) -> int:
    """Tokens that an answer may have, derived from the longest reference and the model's context.

    A reference is as long as its turn in training, with its reasoning, or the empty one that the template writes.
    """
    renderer = Renderer(tokenizer)
    longest = 0
    for row in held_out:
        turn = ids(tokenizer, turn_text(row, row["messages"][-1], renderer, tokenizer))
        longest = max(longest, next((at for at, token in enumerate(turn) if token in stop_ids), len(turn)))
    return min(longest + SPARE_TOKENS, context // 2)


def build_question(
    row: dict[str, Any],
    earlier: list[dict[str, Any]],
    renderer: Renderer,
    tokenizer: Any,
    room: int,
    system_prompt: str | None = None,
    nearest_first: bool = False,
) -> Question | None:
    """`row` as a question of at most `room` tokens, after as many of the rows `earlier` as fit.

    Those behind leave first; `nearest_first`: so that the nearest stay, and stand last, beside the question. Returns
    None where the question alone is longer than that. A system message of the row stays in front, behind the system
    prompt `system_prompt` where there is one.
    """
    system, turns, reference = parts(row, system_prompt)
    tools = json.loads(row["tools"]) if row.get("tools") else None
    for kept in range(len(earlier), -1, -1):
        shown = reversed(earlier[:kept]) if nearest_first else earlier[:kept]
        before = [turn for shot in shown for turn in shot["messages"] if turn["role"] != "system"]
        text = renderer.render([*system, *before, *turns], tools, generation_prompt=True)
        prompt_ids = ids(tokenizer, text)
        if len(prompt_ids) <= room:
            return Question(row["id"], text, reference, tuple(prompt_ids), kept)
    return None


def parts(row: dict[str, Any], system_prompt: str | None = None) -> tuple[list[Message], list[Message], str]:
    """Of a row the system message (or none), what was said after it, and the reference."""
    *turns, reference = row["messages"]
    system_turns = turns[:1] if turns and turns[0]["role"] == "system" else []
    system_texts = [text for text in (system_prompt, *(turn["content"] for turn in system_turns)) if text]
    system: list[Message] = [{"role": "system", "content": "\n\n".join(system_texts)}] if system_texts else []
    return system, turns[len(system_turns) :], reference["content"] or ""


def continuation_ids(
    row: dict[str, Any], turn: Message, renderer: Renderer, tokenizer: Any, question: Question, stop_ids: set[int]
) -> list[int]:
    """Token ids of `turn` as it follows the question in training, the token that ends it (of `stop_ids`) included."""
    return ids_after(question, turn_text(row, turn, renderer, tokenizer), tokenizer, stop_ids)


def ids_after(question: Question, continuation: str, tokenizer: Any, stop_ids: set[int]) -> list[int]:
    """Token ids of a text that follows the question, up to the first token of `stop_ids`."""
    token_ids = ids(tokenizer, question.prompt + continuation)
    start = len(question.ids)
    answer_ids = token_ids[start:] if tuple(token_ids[:start]) == question.ids else ids(tokenizer, continuation)
    end = next((at for at, token in enumerate(answer_ids) if token in stop_ids), len(answer_ids))
    return answer_ids[: end + 1]


def turn_text(row: dict[str, Any], turn: Message, renderer: Renderer, tokenizer: Any) -> str:
    """What follows the prompt of a row in training where `turn` is its answer."""
    system, turns, _ = parts(row)
    tools = json.loads(row["tools"]) if row.get("tools") else None
    prompt = renderer.render([*system, *turns], tools, generation_prompt=True)
    full_text = renderer.render([*system, *turns, turn], tools)
    # a template may tell a past turn in another way than the present one
    if full_text.startswith(prompt):
        return full_text.removeprefix(prompt)
    if turn.get("tool_calls"):
        return full_text[len(common_start(prompt, full_text)) :]
    return (turn["content"] or "") + (tokenizer.eos_token or "")


def ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has written the control tokens, so none is added."""
    token_ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return token_ids


def shots_used(questions: list[Question]) -> dict[str, int]:
    """How many questions had how many rows before them."""
    return {str(kept): count for kept, count in sorted(Counter(question.shots for question in questions).items())}
