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
    tools = [json.dumps(_tools(scenario, settings.input)) for scenario in known]
    for number in range(settings.rows):
        scenario = known[number % len(known)]
        yield {
            "asked": 1,
            "requests": 2 * settings.dialogues.turns,
            "scenario": scenario["scenario"],
            "system": scenario.get("system") or "",
            "tools": tools[number % len(known)],
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


def _tools(scenario: dict[str, Any], where: str) -> list[dict[str, Any]]:
    tools = scenario.get("tools") or []
    tools = tools if isinstance(tools, list) else [tools]
    for tool in tools:
        if fault := _fault(tool):
            raise InputError(
                f"{where}: a tool of the scenario {scenario['scenario'][:60]!r} is not in OpenAI's form "
                f"{{type: function, function: {{name, description, parameters}}}}: {fault}."
            )
    names = [tool["function"]["name"] for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{where}: the scenario {scenario['scenario'][:60]!r} has two tools {twice}; rename one.")
    return tools


def _fault(tool: Any) -> str | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return f"{str(tool)[:80]!r} has no key function with its name"
    if not isinstance(function.get("name"), str) or not function["name"].strip():
        return f"its name is {function.get('name')!r}, but must be a text"
    if not isinstance(function.get("description", ""), str):
        return f"the description of {function['name']} is not a text"
    schema = function.get("parameters", {})
    if not isinstance(schema, dict):
        return f"the parameters of {function['name']} are not a JSON Schema of an object"
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        return f"the parameters of {function['name']}: {' '.join(error.message.split())[:200]}"
    return None
