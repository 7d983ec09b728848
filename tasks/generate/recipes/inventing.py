"""Steps of the recipe `instructions`, on distilabel's own prompts."""

import hashlib
import re
from typing import Any

from distilabel.steps.base import Step, StepInput
from distilabel.steps.tasks.base import Task
from distilabel.steps.tasks.evol_instruct.utils import MUTATION_TEMPLATES
from distilabel.steps.tasks.self_instruct import SelfInstruct

from tasks.generate.recipes.steps import Partial

_MARK = re.compile(r"^\s*(?:[-*\u2022]|\(?\d{1,3}[.):])\s+")
"""What stands before the entries of a list, although none was asked for."""


class Invent(Partial, SelfInstruct):  # type: ignore[misc]
    """Asks for new instructions; the same examples seen again ask for another sample."""

    add_raw_output: bool = False
    add_raw_input: bool = False

    @property
    def outputs(self) -> list[str]:
        return ["invented_text", "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:
        """The prompt, and which sample of its answer."""
        return {"content": super().format_input(input), "sample": input["sample"]}

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The lines as they came; `SplitTasks` tells them apart."""
        return {"invented_text": output or ""}


class SplitTasks(Step):  # type: ignore[misc]
    """From one answer with a task a line to one row a task: as many rows as were asked for, some perhaps empty."""

    @property
    def inputs(self) -> list[str]:
        return ["invented_text", "asked"]

    @property
    def outputs(self) -> list[str]:
        return ["slot", "instruction", "invented"]

    def process(self, inputs: StepInput) -> Any:
        """`slot` numbers the tasks of an answer; `invented` keeps them as they were before they are made harder."""
        split_rows = []
        for row in inputs:
            lines = [_MARK.sub("", line).strip() for line in row["invented_text"].splitlines()]
            tasks = [line for line in lines if re.search(r"\w", line)]
            for slot in range(row["asked"]):
                task = tasks[slot] if slot < len(tasks) else ""
                split_rows.append({**row, "slot": slot, "instruction": task, "invented": task})
        yield split_rows


class Evolve(Partial, Task):  # type: ignore[misc]
    """Makes an instruction harder, once, by one of Evol-Instruct's five ways."""

    add_raw_output: bool = False
    add_raw_input: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["instruction"]

    @property
    def outputs(self) -> list[str]:
        return ["instruction", "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:
        """The rewriter's prompt."""
        way = MUTATION_TEMPLATES[method(input["instruction"], sorted(MUTATION_TEMPLATES))]
        return [{"role": "user", "content": way.replace("<PROMPT>", input["instruction"])}]

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The rewritten instruction, without a heading that the teacher repeats."""
        return {"instruction": re.split(r"#?(?:Rewritten |Created )?Prompt#:", output or "")[-1].strip()}


def method(instruction: str, names: list[str]) -> str:
    """Which of the ways to make a task harder this one gets."""
    return names[int.from_bytes(hashlib.sha256(instruction.encode(errors="replace")).digest()[:8], "big") % len(names)]
