"""Held-out rows as questions: the rendered prompt, and the reference that answers it."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError
from tasks.core.paths import PATHS
from tasks.rows.canonical import Message, dialogue

ROOM = 8
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
    """Rows of the training split that stand before it."""


def rows(file: Path, limit: int | None = None) -> tuple[list[dict[str, Any]], int]:
    """Rows of a canonical Parquet file that can be asked, at most `limit`, their dialogue under `messages`; and how
    many others there are: texts, and answers that were judged bad.

    Raises `InputError` where none can be asked, or where a dialogue does not end with the assistant.
    """
    import pyarrow.parquet as pq

    every: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    if not every:
        raise InputError(
            f"{file}: no rows, so there is nothing to evaluate on; bring data with a test split, or raise the share of "
            f"test rows in the section clean of {PATHS.params}."
        )
    found = [{**row, "messages": said} for row in every if (said := dialogue(row))]
    if not found:
        raise InputError(
            f"{file}: each of {len(every)} rows is a text or an answer that was judged bad, so there is nothing to "
            "ask; bring a test split with dialogues, or with pairs."
        )
    for row in found:
        if row["messages"][-1]["role"] != "assistant":
            raise InputError(f"{file}: the row {row['id']} does not end with a turn of the assistant to compare with.")
    return found[:limit], len(every) - len(found)


def shots(train: list[dict[str, Any]], asked: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The `count` rows of `train` with the smallest ids, but for those that ask what one of `asked` asks.

    Ids are hashes of the content, so this is a random choice that stays.
    """
    questions = {question(row) for row in asked}
    return [row for row in sorted(train, key=lambda row: str(row["id"])) if question(row) not in questions][:count]


def question(row: dict[str, Any]) -> str:
    """What the user says in a row, in lower case and with single spaces."""
    said = [str(turn["content"]) for turn in row["messages"] if turn["role"] == "user"]
    return " ".join(" ".join(said).lower().split())


def extras(row: dict[str, Any]) -> dict[str, Any]:
    """What scores may look at: the row's id, source and slice, its turns, and the further keys of its last message."""
    last = {key: value for key, value in row["messages"][-1].items() if key not in ("role", "content")}
    return {**last, "id": row["id"], "source": row["source"], "slice": row["slice"], "messages": row["messages"][:-1]}


def answer_room(asked: list[dict[str, Any]], tokenizer: Any, context: int) -> int:
    """Tokens that an answer may have, derived from the longest reference and the model's context."""
    longest = max(len(ids(tokenizer, row["messages"][-1]["content"] or "")) for row in asked)
    return min(longest + ROOM, context // 2)


def ask(
    row: dict[str, Any],
    earlier: list[dict[str, Any]],
    renderer: Renderer,
    tokenizer: Any,
    room: int,
    prompt: str | None = None,
) -> Question | None:
    """`row` as a question of at most `room` tokens, after as many of the rows `earlier` as fit.

    Returns None where the question alone is longer than that. A system message of the row stays in front, behind the
    system prompt `prompt` where there is one.
    """
    system, turns, reference = parts(row, prompt)
    tools = json.loads(row["tools"]) if row.get("tools") else None
    for kept in range(len(earlier), -1, -1):
        before = [turn for shot in earlier[:kept] for turn in shot["messages"] if turn["role"] != "system"]
        text = renderer.render([*system, *before, *turns], tools, generation_prompt=True)
        found = ids(tokenizer, text)
        if len(found) <= room:
            return Question(row["id"], text, reference, tuple(found), kept)
    return None


def parts(row: dict[str, Any], prompt: str | None = None) -> tuple[list[Message], list[Message], str]:
    """Of a row the system message (or none), what was said after it, and the reference."""
    *turns, reference = row["messages"]
    own = turns[:1] if turns and turns[0]["role"] == "system" else []
    said = [text for text in (prompt, *(turn["content"] for turn in own)) if text]
    system: list[Message] = [{"role": "system", "content": "\n\n".join(said)}] if said else []
    return system, turns[len(own) :], reference["content"] or ""


def continued(row: dict[str, Any], answer: str, renderer: Renderer, tokenizer: Any, asked: Question) -> list[int]:
    """Token ids of `answer` as it follows the question in training, the end token included."""
    system, turns, _ = parts(row)
    tools = json.loads(row["tools"]) if row.get("tools") else None
    before = renderer.render([*system, *turns], tools, generation_prompt=True)
    whole = renderer.render([*system, *turns, {"role": "assistant", "content": answer}], tools)
    # a template may tell a past turn in another way than the present one
    said = whole.removeprefix(before) if whole.startswith(before) else answer + (tokenizer.eos_token or "")
    found = ids(tokenizer, asked.prompt + said)
    start = len(asked.ids)
    after = found[start:] if tuple(found[:start]) == asked.ids else ids(tokenizer, said)
    return after[: after.index(tokenizer.eos_token_id) + 1] if tokenizer.eos_token_id in after else after


def ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has written the control tokens, so none is added."""
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def shots_used(questions: list[Question]) -> dict[str, int]:
    """How many questions had how many rows before them."""
    return {str(kept): count for kept, count in sorted(Counter(question.shots for question in questions).items())}
