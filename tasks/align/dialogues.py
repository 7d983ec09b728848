"""Prompts with what a teacher reads in the place of each, made of the dialogues that they are of."""

import json
from typing import Any

import pyarrow.parquet as pq

from tasks.align.prompts import Prompts
from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.rows.canonical import Message, turns


class DialoguePrompts(Prompts):
    """Prompts that know the dialogue before their answer."""

    def __init__(self, prompts: Prompts, paths: Paths) -> None:
        super().__init__(prompts.prompts, prompts.references, prompts.left_out, prompts.tokenizer, prompts.names)
        table = pq.read_table(paths.rows("train"))
        kept = [name for name in ("id", "messages", "tools") if name in table.column_names]
        self._rows = {row["id"]: row for row in table.select(kept).to_pylist() if row["messages"]}

    def dialogue(self, index: int) -> tuple[list[Message], Any] | None:
        """Turns before the last one of the assistant, and tools; None of a part of a row, and of other rows."""
        if (row := self._rows.get(self.names[index])) is None:
            return None
        messages = turns(row["messages"])
        last = max(number for number, turn in enumerate(messages) if turn["role"] == "assistant")
        return messages[:last], json.loads(row["tools"]) if row.get("tools") else None


class TeacherPrompts(DialoguePrompts):
    """For gold: the dialogue in the chat template of the teacher, as text."""

    column_names = (*Prompts.column_names, "teacher_prompt")

    def __init__(self, prompts: Prompts, paths: Paths, teacher: Any) -> None:
        """`teacher`: its tokenizer. One without a template, and a part of a row, has the text of the prompt's ids."""
        super().__init__(prompts, paths)
        self._renderer = Renderer(teacher) if teacher.chat_template else None
        self._first = (teacher.bos_token or "") if teacher("").input_ids else ""  # its tokenizer puts that first anyway

    def __getitem__(self, index: int) -> dict[str, Any]:
        item, dialogue = super().__getitem__(index), self.dialogue(index)
        if dialogue is None or self._renderer is None:
            text = self.tokenizer.decode(item["prompt"], skip_special_tokens=True)
        else:
            text = self._renderer.render(*dialogue, generation_prompt=True)
        return {**item, "teacher_prompt": text.removeprefix(self._first)}


class Demonstrations(DialoguePrompts):
    """For sdft: the prompt with the reference in the last turn of the user, as the ids that the model reads."""

    column_names = (*Prompts.column_names, "privileged_context")

    def __init__(self, prompts: Prompts, paths: Paths, template: str) -> None:
        """`template`: of that turn, with `{prompt}` and `{privileged_context}`. Raises `InputError` where there is no
        such turn."""
        super().__init__(prompts, paths)
        self._renderer, self._template = Renderer(self.tokenizer), template
        for index, name in enumerate(self.names):
            dialogue = self.dialogue(index)
            if dialogue is None or not dialogue[0] or dialogue[0][-1]["role"] != "user":
                raise InputError(
                    f"{paths.rows('train')}: row {name} has no user turn before its answer, and align.objective sdft "
                    "needs one to show the reference in; remove such rows."
                )

    def __getitem__(self, index: int) -> dict[str, Any]:
        item, dialogue = super().__getitem__(index), self.dialogue(index)
        assert dialogue is not None
        messages, tools = dialogue
        asked = str(messages[-1]["content"])
        turn = {**messages[-1], "content": demonstrated(self._template, asked, item["reference"])}
        text = self._renderer.render([*messages[:-1], turn], tools, generation_prompt=True)
        return {**item, "privileged_context": self.tokenizer(text, add_special_tokens=False)["input_ids"]}


def demonstrated(template: str, prompt: str, reference: str) -> str:
    """`template` with both in their places, whatever braces they hold."""
    before, _, behind = template.partition("{prompt}")
    parts = (part.replace("{privileged_context}", reference) for part in (before, behind))
    return prompt.join(parts)
