"""The step of the recipe `dialogues`: a conversation grown turn by turn, by three kinds of request.

The user's turn is asked with the roles swapped; the assistant's with the conversation as it stands and the tools; a
tool's result with nothing but the tool's description and the arguments, so that the tool knows no more than a real one.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from distilabel.steps.base import StepInput
from distilabel.steps.tasks.base import Task
from jsonschema import ValidationError, validate

from tasks.generate.quality import fault
from tasks.generate.teacher.request import Response

USER = """You play a person who talks to an assistant. Your situation:
{scenario}
Write your next message to the assistant and nothing else: no quotes, no explanation, no role name."""

BEGIN = "Begin the conversation with your first message."

TOOL = """You stand in for the tool `{name}`: {description}
Answer with the result that it would return for the given arguments, as one JSON value and nothing else."""


@dataclass
class Talk:
    """One conversation as far as it has come."""

    row: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    reason: str | None = None
    waiting: list[dict[str, Any]] = field(default_factory=list)
    """Calls of tools that have no result yet."""

    def asked(self, content: Any, **more: Any) -> dict[str, Any]:
        return {"content": content, "sample": self.row["sample"], **more}


class Converse(Task):  # type: ignore[misc]
    """Holds all conversations of a batch at once; `dialogue` is JSON with messages, prompts, and why it leaves."""

    turns: int
    calls: int
    add_raw_output: bool = False
    add_raw_input: bool = False

    @property
    def inputs(self) -> list[str]:
        return ["scenario", "system", "tools", "sample"]

    @property
    def outputs(self) -> list[str]:
        return ["dialogue", "model_name"]

    def format_input(self, input: dict[str, Any]) -> Any:
        """Of a whole conversation there is no single prompt; see `process`."""
        raise NotImplementedError

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """Of a whole conversation there is no single answer; see `process`."""
        raise NotImplementedError

    def process(self, inputs: StepInput) -> Any:
        """Grow the conversations."""
        talks = [Talk(row) for row in inputs]
        for talk in talks:
            if talk.row["system"]:
                talk.messages.append({"role": "system", "content": talk.row["system"]})
        for _ in range(self.turns):
            for talk, said in self._ask(talks, user_turn):
                talk.messages.append({"role": "user", "content": said.text.strip()})
            self._answer(talks)
        yield [
            {
                **talk.row,
                "dialogue": json.dumps(
                    {"messages": talk.messages, "prompts": talk.prompts, "reason": talk.reason}, ensure_ascii=False
                ),
                "model_name": self.llm.model_name,
            }
            for talk in talks
        ]

    def _answer(self, talks: list[Talk]) -> None:
        """The assistant's turn: calls of tools with their results, as often as allowed, and an answer."""
        speaking = talks
        for left in range(self.calls, -1, -1):
            called = []
            for talk, said in self._ask(speaking, assistant_turn):
                talk.messages.append(turn(said, sum(len(m.get("tool_calls", ())) for m in talk.messages)))
                if not said.tool_calls:
                    continue
                talk.waiting = list(talk.messages[-1]["tool_calls"])
                talk.reason = None if fits(talk.waiting, json.loads(talk.row["tools"])) else "tool_call"
                if talk.reason is None and not left:
                    talk.reason = "too_many_calls"
                called.append(talk)
            while waiting := [talk for talk in called if talk.waiting and talk.reason is None]:
                for talk, said in self._ask(waiting, tool_turn):
                    call = talk.waiting.pop(0)
                    talk.messages.append(
                        {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"],
                         "content": said.text.strip()}
                    )  # fmt: skip
            speaking = called

    def _ask(self, talks: list[Talk], prompt: Any) -> list[tuple[Talk, Response]]:
        """Ask for each conversation that goes on; those whose answer is of no use stop."""
        going = [talk for talk in talks if talk.reason is None]
        if not going:
            return []
        outputs = self.llm.generate_outputs(inputs=[prompt(talk) for talk in going])
        answered = []
        for talk, output in zip(going, outputs, strict=True):
            key = output["request"][0]
            talk.prompts.append(key)
            said = self.llm.look_up(key)
            talk.reason = fault(said, self.llm.settings.max_new_tokens)
            if talk.reason is None:
                answered.append((talk, said))
        return answered


def user_turn(talk: Talk) -> dict[str, Any]:
    """The request for the user's next message: to the teacher as user, what the assistant said is the other's."""
    heard = {"user": "assistant", "assistant": "user"}
    said = [{"role": heard[m["role"]], "content": m["content"]}
            for m in talk.messages if m["role"] in heard and m["content"]]  # fmt: skip
    system = {"role": "system", "content": USER.format(scenario=talk.row["scenario"])}
    return talk.asked([system, {"role": "user", "content": BEGIN}, *said])


def assistant_turn(talk: Talk) -> dict[str, Any]:
    """The request for the assistant's next message."""
    tools = json.loads(talk.row["tools"])
    return talk.asked(talk.messages, **({"tools": tools} if tools else {}))


def tool_turn(talk: Talk) -> dict[str, Any]:
    """The request for the result of the first call that waits."""
    call = talk.waiting[0]["function"]
    tools = {tool["function"]["name"]: tool["function"] for tool in json.loads(talk.row["tools"])}
    system = TOOL.format(name=call["name"], description=tools[call["name"]].get("description", ""))
    return talk.asked([{"role": "system", "content": system}, {"role": "user", "content": call["arguments"]}])


def turn(said: Response, calls: int) -> dict[str, Any]:
    """The assistant's message; its calls get numbers for ids, as those of servers are random. `calls`: made before."""
    made = [{"id": f"call_{calls + number}", **call} for number, call in enumerate(said.tool_calls)]
    return {"role": "assistant", "content": said.text.strip(), **({"tool_calls": made} if made else {})}


def fits(calls: list[dict[str, Any]], tools: list[dict[str, Any]]) -> bool:
    """Whether each call names a tool and has arguments that its schema takes."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in tools}
    for call in calls:
        function = call["function"]
        try:
            validate(json.loads(function["arguments"]), schemas[function["name"]])
        except (KeyError, TypeError, ValueError, ValidationError):
            return False
    return True
