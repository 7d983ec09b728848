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

from tasks.generate.quality import rejection_reason
from tasks.teacher.request import Response

USER = """You play a person who talks to an assistant. Your situation:
{scenario}
Write your next message to the assistant and nothing else: no quotes, no explanation, no role name."""

BEGIN = "Begin the conversation with your first message."

TOOL = """You stand in for the tool `{name}`: {description}
Answer with the result that it would return for the given arguments, as one JSON value and nothing else."""


@dataclass
class Conversation:
    """One conversation as far as it has come."""

    row: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    reason: str | None = None
    waiting: list[dict[str, Any]] = field(default_factory=list)
    """Calls of tools that have no result yet."""

    def request(self, content: Any, **extras: Any) -> dict[str, Any]:
        return {"content": content, "sample": self.row["sample"], **extras}


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
        conversations = [Conversation(row) for row in inputs]
        for conversation in conversations:
            if conversation.row["system"]:
                conversation.messages.append({"role": "system", "content": conversation.row["system"]})
        for _ in range(self.turns):
            for conversation, response in self._ask(conversations, user_turn):
                conversation.messages.append({"role": "user", "content": response.text.strip()})
            self._answer(conversations)
        yield [
            {
                **conversation.row,
                "dialogue": json.dumps(
                    {"messages": conversation.messages, "prompts": conversation.prompts, "reason": conversation.reason},
                    ensure_ascii=False,
                ),
                "model_name": self.llm.model_name,
            }
            for conversation in conversations
        ]

    def _answer(self, conversations: list[Conversation]) -> None:
        """The assistant's turn: calls of tools with their results, as often as allowed, and an answer."""
        speaking = conversations
        for left in range(self.calls, -1, -1):
            callers = []
            for conversation, response in self._ask(speaking, assistant_turn):
                conversation.messages.append(
                    turn(response, sum(len(m.get("tool_calls", ())) for m in conversation.messages))
                )
                if not response.tool_calls:
                    continue
                conversation.waiting = list(conversation.messages[-1]["tool_calls"])
                conversation.reason = (
                    None if fits(conversation.waiting, json.loads(conversation.row["tools"])) else "tool_call"
                )
                if conversation.reason is None and not left:
                    conversation.reason = "too_many_calls"
                callers.append(conversation)
            while waiting := [
                conversation for conversation in callers if conversation.waiting and conversation.reason is None
            ]:
                for conversation, response in self._ask(waiting, tool_turn):
                    call = conversation.waiting.pop(0)
                    conversation.messages.append(
                        {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"],
                         "content": response.text.strip()}
                    )  # fmt: skip
            speaking = callers

    def _ask(self, conversations: list[Conversation], prompt: Any) -> list[tuple[Conversation, Response]]:
        """Ask for each conversation that goes on; those whose answer is of no use stop."""
        active = [conversation for conversation in conversations if conversation.reason is None]
        if not active:
            return []
        outputs = self.llm.generate_outputs(inputs=[prompt(conversation) for conversation in active])
        answered = []
        for conversation, output in zip(active, outputs, strict=True):
            key = output["request"][0]
            conversation.prompts.append(key)
            response = self.llm.look_up(key)
            conversation.reason = rejection_reason(response, self.llm.settings.max_new_tokens)
            if conversation.reason is None:
                answered.append((conversation, response))
        return answered


def user_turn(conversation: Conversation) -> dict[str, Any]:
    """The request for the user's next message: to the teacher as user, what the assistant said is the other's."""
    other_role = {"user": "assistant", "assistant": "user"}
    turns = [{"role": other_role[m["role"]], "content": m["content"]}
            for m in conversation.messages if m["role"] in other_role and m["content"]]  # fmt: skip
    system = {"role": "system", "content": USER.format(scenario=conversation.row["scenario"])}
    return conversation.request([system, {"role": "user", "content": BEGIN}, *turns])


def assistant_turn(conversation: Conversation) -> dict[str, Any]:
    """The request for the assistant's next message."""
    tools = json.loads(conversation.row["tools"])
    return conversation.request(conversation.messages, **({"tools": tools} if tools else {}))


def tool_turn(conversation: Conversation) -> dict[str, Any]:
    """The request for the result of the first call that waits."""
    call = conversation.waiting[0]["function"]
    tools = {tool["function"]["name"]: tool["function"] for tool in json.loads(conversation.row["tools"])}
    system = TOOL.format(name=call["name"], description=tools[call["name"]].get("description", ""))
    return conversation.request([{"role": "system", "content": system}, {"role": "user", "content": call["arguments"]}])


def turn(response: Response, earlier_calls: int) -> dict[str, Any]:
    """The assistant's message. Its calls get numbers for ids, as those of servers are random.

    `earlier_calls`: calls in the conversation so far.
    """
    numbered = [{"id": f"call_{earlier_calls + number}", **call} for number, call in enumerate(response.tool_calls)]
    return {"role": "assistant", "content": response.text.strip(), **({"tool_calls": numbered} if numbered else {})}


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
