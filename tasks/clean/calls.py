"""Calls of tools in a row: read, checked against the tools that are offered, and each result beside its call."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from tasks.clean.content import Content, Finding, Turn, Unusable, as_json, excerpt
from tasks.rows.tool_call import BadTool, ToolCall, as_value, read_call
from tasks.rows.tools import arguments_without_padding, has_nulls, read_tools, schemas

CALLS = "calls"
"""Key of a turn with its calls as they came, for as long as the tools of the row are unknown."""

NULL_KEYS, RESULT_ORDER, ARGUMENTS, NO_TOOLS, RESULTS = (
    "repaired_null_keys",
    "repaired_result_order",
    "repaired_arguments",
    "calls_without_tools",
    "repaired_joined_results",
)
"""What is reported of rows that stay, a line of the ledger each."""


class Offer(NamedTuple):
    """The tools of a row."""

    text: str
    """As JSON, in OpenAI's form."""
    schemas: dict[str, dict[str, Any]]
    """Of the arguments, by the tool's name."""
    had_nulls: bool


def is_null(value: Any) -> bool:
    """Whether it is null, or an object of nothing else, as which tables write an object that is not there."""
    return value is None or (isinstance(value, dict) and bool(value) and all(map(is_null, value.values())))


def called(calls: Any, older: Any) -> list[Any]:
    """The calls of a message as they came: of `tool_calls`, or the one `function_call` that OpenAI's older form has."""
    for value in (calls, older):
        if not value:
            continue
        value = as_value(value)
        listed = value if isinstance(value, list) else [value]
        present = [call for call in map(as_value, listed) if not is_null(call) and call not in ("", {})]
        if not all(isinstance(call, dict) for call in present):
            raise Unusable("bad_tool_call")
        if present:
            return present
    return []


def joined_calls(turns: list[Turn]) -> list[Turn]:
    """Turns in which a call, and what the assistant says before it, are one turn, as are calls before the first result.

    ShareGPT and OpenAI's Responses write them one after another.
    """
    joined: list[Turn] = []
    for turn in turns:
        before = joined[-1] if joined else None
        if (
            before
            and CALLS in turn
            and before["role"] == "assistant"
            and turn["extra"] in (None, before["extra"])
            and not (before["content"] and turn["content"])
        ):
            merged = {**before, "content": before["content"] or turn["content"]}
            joined[-1] = {**merged, CALLS: [*before.get(CALLS, ()), *turn[CALLS]]}
        else:
            joined.append(turn)
    return joined


def settle(content: Content) -> Content:
    """The content with its tools and calls in OpenAI's form, and each result in the order of the calls.

    What is repaired is noted in `findings`. Raises `Unusable`: `bad_tools`, `bad_tool_call`, `bad_arguments`,
    `unknown_tool` (a call of a tool that is not offered).
    """
    offer = None
    if content.tools is not None:
        offer = offered(content.tools)
        content.tools = offer.text
        if offer.had_nulls:
            content.findings.append(Finding(NULL_KEYS, excerpt(offer.text)))
    notes: dict[str, str] = {}
    for turn in content.turns():
        if CALLS in turn:
            _write(turn, [_checked(call, offer, notes) for call in turn.pop(CALLS)])
            if offer is None:
                notes.setdefault(NO_TOOLS, turn["extra"])
    for turns in content.parts():
        _order(turns, notes)
    content.findings += [Finding(name, excerpt(shown)) for name, shown in notes.items()]
    return content


@lru_cache(500)
def offered(text: str) -> Offer:
    """The tools of a JSON text. Raises `Unusable`."""
    try:
        tools = read_tools(text)
        offered_text = json.dumps(tools, ensure_ascii=False, allow_nan=False)
    except BadTool as bad:
        raise Unusable(bad.reason) from None
    except ValueError:
        raise Unusable("not_finite") from None
    return Offer(offered_text, schemas(tools), has_nulls(as_value(text)))


def results_fault(turns: list[Turn]) -> str | None:
    """Why results do not go with the calls before them, or None.

    `call_without_result`, `duplicate_result` (two of one id), `result_without_call` (of an id that no call has, or one
    more than there are calls).
    """
    for start, end in _groups(turns):
        ids, answered = _ids(turns[start]), [_answered(turn, "tool_call_id") for turn in turns[start + 1 : end]]
        if Counter(name for name in answered if name is not None) - Counter(ids) and all(ids):
            return "result_without_call" if set(answered) - {None} - set(ids) else "duplicate_result"
        if len(answered) != len(ids):
            return "call_without_result" if len(answered) < len(ids) else "result_without_call"
    return None


def _checked(value: Any, offer: Offer | None, notes: dict[str, str]) -> ToolCall:
    try:
        call = read_call(value)
    except BadTool as bad:
        raise Unusable(bad.reason) from None
    schema: dict[str, Any] = {}
    if offer is not None:
        if call.name not in offer.schemas:
            raise Unusable("unknown_tool")
        schema = offer.schemas[call.name]
    if call.absent and schema.get("required"):
        raise Unusable("bad_arguments")
    if call.repaired:
        notes.setdefault(ARGUMENTS, as_json(value))
    arguments = arguments_without_padding(call.arguments, schema, as_text=call.text is not None)
    if arguments != call.arguments:
        notes.setdefault(NULL_KEYS, as_json(call.arguments))
        return ToolCall(call.name, arguments, call.id)
    return call


def _write(turn: Turn, calls: list[ToolCall]) -> None:
    try:
        written = [call.as_openai() for call in calls]
    except ValueError:
        raise Unusable("not_finite") from None
    turn["extra"] = as_json({**_extra(turn), "tool_calls": written})


def _order(turns: list[Turn], notes: dict[str, str]) -> None:
    """Put the results of each turn that calls into the order of its calls, by id, else by the name of the tool."""
    for start, end in _groups(turns):
        results = turns[start + 1 : end]
        calls = _extra(turns[start])["tool_calls"]
        if len(calls) > 1 and len(results) == 1 and "tool_call_id" not in _extra(results[0]):
            if (split := _split(results[0], len(calls))) is not None:
                notes.setdefault(RESULTS, results[0]["content"])
                turns[start + 1 : end] = split
                return _order(turns, notes)  # places behind it have moved
            continue
        for keys, answered in (
            (_ids(turns[start]), [_answered(turn, "tool_call_id") for turn in results]),
            ([call["function"]["name"] for call in calls], [_answered(turn, "name") for turn in results]),
        ):
            if len(set(keys)) == len(keys) and set(keys) == set(answered) and len(keys) == len(answered):
                ordered = [results[answered.index(key)] for key in keys]
                if keys != answered:
                    notes.setdefault(RESULT_ORDER, "\n".join(turn["content"] for turn in results))
                turns[start + 1 : end] = ordered
                break
    return None


def _split(result: Turn, count: int) -> list[Turn] | None:
    """One result as those of `count` calls, as ShareGPT writes them: a list in JSON, or a line of JSON each."""
    value = as_value(result["content"])
    lines = [line for line in result["content"].splitlines() if line.strip()]
    if not isinstance(value, list):
        value = [as_value(line) for line in lines]
        if any(isinstance(one, str) for one in value):
            return None
    if len(value) != count:
        return None
    texts = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in value]
    return [{**result, "content": text} for text in texts]


def _groups(turns: list[Turn]) -> Iterator[tuple[int, int]]:
    """Places of each turn that calls, and behind its results; not of one that nothing follows."""
    if "tool" not in [turn["role"] for turn in turns]:
        return
    for number, turn in enumerate(turns):
        end = number + 1
        while end < len(turns) and turns[end]["role"] == "tool":
            end += 1
        if end > number + 1 and turn["role"] == "assistant" and _extra(turn).get("tool_calls"):
            yield number, end


def _ids(turn: Turn) -> list[Any]:
    return [call.get("id") for call in _extra(turn)["tool_calls"]]


def _answered(turn: Turn, key: str) -> Any:
    """The id or the name by which a result says which call it answers."""
    value = _extra(turn).get(key)
    if isinstance(value, dict | list):
        raise Unusable("bad_tool_call")
    return value


def _extra(turn: Turn) -> dict[str, Any]:
    """What a turn has beside its text; not to be changed."""
    return _parsed(turn["extra"] or "{}")


@lru_cache(64)  # the turns of a row, which are looked at several times
def _parsed(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed
