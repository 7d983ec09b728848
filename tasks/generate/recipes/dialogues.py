"""The recipe `dialogues`: the teacher plays a user in a scenario, answers as assistant, and stands in for its tools."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.generate.recipes import Lookup, Outcome, Row
from tasks.generate.recipes.seeds import seeds
from tasks.generate.settings import Settings


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """A row a dialogue, the scenarios in turn. Raises `InputError` for tools that are not in OpenAI's form."""
    known = seeds(settings, paths, "scenario")
    for scenario in known:
        _check(scenario, settings.input)
    for number in range(settings.rows):
        scenario = known[number % len(known)]
        yield {
            "asked": 1,
            "requests": 2 * settings.dialogues.turns,
            "scenario": scenario["scenario"],
            "system": scenario.get("system") or "",
            "tools": json.dumps(scenario.get("tools") or []),
            "sample": number // len(known),
        }


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """One step that holds the whole conversation, turn by turn for all rows of a batch."""
    from tasks.generate.recipes.conversing import Converse

    how = settings.dialogues
    rows >> Converse(
        name="converse", llm=teacher(), input_batch_size=batch, turns=how.turns, calls=how.calls
    )  # fmt: skip


def outcomes(settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
    """Reasons beside those of `rejection_reason`: `tool_call` (no such tool, or arguments that its schema refuses),
    `too_many_calls`."""
    dialogue = json.loads(answered[0]["dialogue"] or "{}") if answered else {}
    messages = dialogue.get("messages", [])
    tools = json.loads(row["tools"])
    spoken = {role: " ".join(turn["content"] for turn in messages if turn["role"] == role)
              for role in ("user", "assistant")}  # fmt: skip
    content = {"messages": messages, **({"tools": tools} if tools else {})}
    reason = dialogue.get("reason") if dialogue else "no_answer"
    provenance = {"scenario": row["scenario"], "prompts": dialogue.get("prompts", [])}
    return [Outcome(content, reason, spoken["user"], spoken["assistant"], provenance)]


def _check(scenario: dict[str, Any], where: str) -> None:
    tools = scenario.get("tools") or []
    for tool in tools if isinstance(tools, list) else [tools]:
        try:
            function = tool["function"]
            if not isinstance(function["name"], str):
                raise TypeError("its name is not text")
            schema = function.get("parameters", {})
            validator_for(schema).check_schema(schema)
        except (KeyError, TypeError, SchemaError) as error:
            raise InputError(
                f"{where}: a tool of the scenario {scenario['scenario'][:60]!r} is not in OpenAI's form "
                f"{{type: function, function: {{name, description, parameters}}}}: {str(error)[:200]}."
            ) from None
