"""Steps that recipes share. A row that lost its way earlier passes through without costing a request.

Every column is a text or a list of texts, and empty where there is nothing: distilabel stores batches as Parquet, and
one batch of nothing but nulls has another type than its neighbours. What has more structure travels as JSON.
"""

import json
from typing import Any

from distilabel.steps.base import StepInput
from distilabel.steps.tasks.base import Task
from distilabel.steps.tasks.text_generation import TextGeneration


class Partial:
    """Mixed into a task: it asks only about rows in which all its inputs have content; others pass, with empty texts.

    Beside its outputs each row gets `llm_NAME_request`, the key of the response on record.
    """

    def process(self: Any, inputs: StepInput) -> Any:
        """Ask about the rows that are ready, and put the others back in their places."""
        named = self.inputs
        needed = [name for name in named if not isinstance(named, dict) or named[name]]
        ready = [index for index, row in enumerate(inputs) if all(_usable(row[name]) for name in needed)]
        nothing: Any = [""] * self.num_generations if self.group_generations else ""
        missing = dict.fromkeys((*self.outputs, f"llm_{self.name}_request"), nothing)
        rows = [{**row, **missing, "model_name": self.llm.model_name} for row in inputs]
        if ready:
            answered = next(super().process([inputs[index] for index in ready]))  # type: ignore[misc]
            for index, row in zip(ready, answered, strict=True):
                rows[index] = {**rows[index], **row}
        yield rows


def _usable(value: Any) -> bool:
    """Whether a column says something: a text that is not blank, a list of such texts."""
    return bool(value) and all(map(_usable, value)) if isinstance(value, list) else bool((value or "").strip())


class Answer(Partial, TextGeneration):  # type: ignore[misc]
    """distilabel's own task of answering an instruction, for rows that have one."""

    add_raw_output: bool = False
    add_raw_input: bool = False


class Prompt(Partial, Task):  # type: ignore[misc]
    """Sends the column `prompt`, JSON of what `Request.of` takes; the answer is `generation`."""

    add_raw_output: bool = False
    add_raw_input: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["prompt"]

    @property
    def outputs(self) -> list[str]:
        return ["generation", "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:
        """Messages, or a mapping with more than messages."""
        return json.loads(input["prompt"])

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer as it came."""
        return {"generation": output or ""}
