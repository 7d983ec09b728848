"""The shapes that rows come in, recognised by their keys, and the canonical content that each becomes, without loss."""

import json
from collections.abc import Collection
from typing import Any

from tasks.clean.anchors import anchored, anchored_turns, may_be_triplet
from tasks.clean.calls import is_null, settle
from tasks.clean.class_cells import class_name, flagged, listed
from tasks.clean.content import Content, Turn, Unusable, as_text
from tasks.clean.flags import as_flag, as_number
from tasks.clean.modality import check_texts, spoken, system_text
from tasks.clean.settings import Columns
from tasks.clean.switches import prepared
from tasks.clean.tabular import Table, answer_text, are_texts, best_and_worst, inner_turns, table
from tasks.clean.turns import conversation, turns
from tasks.rows.tool_call import as_value

HEAVIEST = 1e6
"""The largest weight of a row."""


def recognise(value: dict[str, Any]) -> str | None:
    """The name of the shape that `value` has by its keys, or None."""
    present = _present(value)
    name = _by(present)
    read = table(present) if _may_be_table(name, present) else None
    return read.shape if read else name or _by(value)


def _may_be_table(name: str | None, present: dict[str, Any]) -> bool:
    """Whether the shape's own column may hold something else: a text that has a class, or turns without roles."""
    if name in ("messages", "sharegpt"):
        return any(are_texts(present.get(key)) for key in ("messages", "conversations"))
    return name is None or name == "text" or (name == "anchored" and may_be_triplet(present))


def _present(value: dict[str, Any]) -> dict[str, Any]:
    """What has a value: a table that mixes shapes has every column in every row."""
    return {key: kept for key, kept in value.items() if kept is not None}


def _by(keys: Collection[str]) -> str | None:
    if anchored(keys):
        return "anchored"
    if "chosen" in keys and "rejected" in keys:
        return "preference"
    if "label" in keys and ("messages" in keys or "completion" in keys or "conversations" in keys):
        return "kto"
    if "messages" in keys:
        return "messages"
    if "conversations" in keys:
        return "sharegpt"
    if "prompt" in keys and "completion" in keys:
        return "prompt_completion"
    if "instruction" in keys and ("output" in keys or "response" in keys):
        return "alpaca"
    if "text" in keys:
        return "text"
    return "messages" if "contents" in keys else None  # Gemini's name


def to_content(
    value: dict[str, Any], shape: str = "auto", alpaca_instruction: bool = True, columns: Columns | None = None
) -> Content:
    """The canonical content of a record. Raises `Unusable` with the reason.

    >>> to_content({"instruction": "Say hi.", "output": "hi"}).messages[-1]["content"]
    'hi'
    """
    columns = columns or Columns()
    value = prepared(value, columns)
    check_texts(value)
    if "system" in value:
        value["system"] = system_text(value["system"])
    if columns.is_mapped and not _has_own_format(value, shape, columns):
        return settle(_mapped(value, columns))
    present = _present(value)
    if (name := _by(present)) is None:
        name = _by(value)  # by names alone: then it can be said what is missing
    else:
        value = present
    name = name if shape == "auto" else shape
    if shape == "auto" and _may_be_table(name, present) and (read := table(present)) is not None:
        return settle(_tabular(value, read, columns))
    match name:
        case "messages" | "sharegpt":
            parsed = _whole(name, conversation(value), value)
        case "prompt_completion":
            parsed = _whole(name, [*_prompt(value), *spoken(value.get("completion"), "assistant")], value)
        case "alpaca":
            parsed = _whole(name, _alpaca(value, alpaca_instruction), value)
        case "preference":
            parsed = _preference(value)
        case "kto":
            parsed = _kto(value)
        case "anchored":
            parsed = _whole(name, anchored_turns(value), value)
        case "text" if "text" in value:
            parsed = Content("text", text=as_text(value["text"]), weight=_weight(value))
        case _:
            raise Unusable("unknown_shape")
    return settle(parsed)


def _whole(shape: str, messages: list[Turn], value: dict[str, Any]) -> Content:
    return Content(shape, messages=messages, tools=_tools(value), weight=_weight(value))


def _tools(value: dict[str, Any]) -> str | None:
    """Definitions of tools as JSON, as they came; `functions` is OpenAI's older name. An empty list is none."""
    tools = as_value(value.get("tools") or value.get("functions"))
    if not tools or (isinstance(tools, list) and all(map(is_null, tools))):
        return None
    try:
        return json.dumps(tools, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        raise Unusable("not_finite") from None


def _weight(value: dict[str, Any]) -> float | None:
    as_it_came = value.get("weight")
    if as_it_came is None or as_it_came == "":
        return None
    weight = None if isinstance(as_it_came, bool) else as_number(as_it_came)
    if weight is None or not 0 <= weight <= HEAVIEST:
        raise Unusable("bad_weight")
    return weight


def _alpaca(value: dict[str, Any], keep_instruction: bool) -> list[Turn]:
    if "instruction" not in value:
        raise Unusable("unknown_shape")
    input_text = value.get("input") if value.get("input") is not None else value.get("context")
    instruction, more = as_text(value["instruction"]), as_text(input_text or "")
    asked = instruction
    if more.strip():
        asked = f"{instruction}\n\n{more}" if keep_instruction else more
    answer = value.get("output") if value.get("output") is not None else value.get("response")
    history: list[Any] = []
    past = value.get("history") or []
    if not isinstance(past, list | tuple):
        raise Unusable("unknown_shape")
    for pair in past:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Unusable("unknown_shape")
        history += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    question = turns([*history, {"role": "user", "content": asked}], "user")
    return [*_system(value), *question, *spoken("" if answer is None else answer, "assistant")]


def _system(value: dict[str, Any]) -> list[Turn]:
    """The system prompt that stands beside the turns, if any."""
    return turns(value["system"], "system") if value.get("system") else []


def _prompt(value: dict[str, Any]) -> list[Turn]:
    """The turns of the column `prompt`, after the system prompt that stands beside it, unless it begins with one."""
    return _after_system(value, spoken(value.get("prompt"), "user"))


def _after_system(value: dict[str, Any], prompt: list[Turn]) -> list[Turn]:
    system = _system(value)
    return prompt if prompt[:1] == system else [*system, *prompt]


def _preference(value: dict[str, Any]) -> Content:
    """Prompt, chosen and rejected; without a prompt it is what both answers begin with."""
    chosen, rejected = spoken(value.get("chosen"), "assistant"), spoken(value.get("rejected"), "assistant")
    own_prompt = value.get("prompt")
    if own_prompt is None and ("messages" in value or "conversations" in value):
        prompt = conversation(value)
    elif own_prompt is None:
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
        prompt = prompt and _after_system(value, prompt)
    else:
        prompt = _prompt(value)
    if not prompt:
        raise Unusable("no_prompt")
    return Content(
        "preference", prompt=prompt, chosen=chosen, rejected=rejected, tools=_tools(value), weight=_weight(value)
    )


def _kto(value: dict[str, Any]) -> Content:
    label = as_flag(value.get("label"))
    if label is None:
        raise Unusable("bad_label")
    if "completion" in value:
        prompt, completion = _prompt(value), spoken(value["completion"], "assistant")
    else:
        *prompt, answer = conversation(value) or [{}]
        completion = [answer]
    if not prompt:
        raise Unusable("no_prompt")
    return Content("kto", prompt=prompt, completion=completion, label=label, tools=_tools(value), weight=_weight(value))


def _tabular(value: dict[str, Any], read: Table, columns: Columns) -> Content:
    """A row of a table, as `table` reads it."""
    at = read.columns
    if read.shape == "dialogue":
        return _whole(read.shape, [*_system(value), *_dialogue(value[at["dialogue"]], columns)], value)
    if read.shape == "classification":
        texts = [as_text(value[at[part]]) for part in ("text", "second text") if part in at]
        cell = value[at["class"]]
        answer = listed(cell, columns) if isinstance(cell, list | tuple) else class_name(cell, columns)
        question = "\n\n".join(texts)
    else:
        texts = [as_text(value[at[part]]) for part in ("context", "question") if part in at]
        question, answer = "\n\n".join(texts), answer_text(value.get(at.get("answer", "")))
    prompt = [*_system(value), *spoken(question, "user")]
    if "answer" in at or "class" in at:
        return _whole(read.shape, [*prompt, *spoken(answer, "assistant")], value)
    pair = best_and_worst(value, at) if "responses" in at else (value[at["chosen"]], value[at["rejected"]])
    chosen, rejected = (spoken(answer_text(one), "assistant") for one in pair)
    return Content(
        read.shape, prompt=prompt, chosen=chosen, rejected=rejected, tools=_tools(value), weight=_weight(value)
    )


def _dialogue(value: Any, columns: Columns) -> list[Turn]:
    """Turns with roles that stand somewhere in `value`, or texts that user and assistant say in turn."""
    if (inner := inner_turns(value)) is None:
        inner = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(value)]
    return turns(prepared({"messages": inner}, columns)["messages"], "user")


def _has_own_format(value: dict[str, Any], shape: str, columns: Columns) -> bool:
    """Whether the named columns belong to other rows: this one is of a known format, and has no answer under its name.

    A row with some of the columns may be a faulty one of those rows; a mere `text` beside them makes it no other.
    """
    answers = [name for name in (columns.answer, columns.text, *columns.class_columns) if name]
    if any(_value_under(value, name) is not None for name in answers):
        return False
    beside = [name for name in (columns.system, columns.question) if name]
    if any(_value_under(value, name, missing=_NONE) is not _NONE for name in (*answers, *beside)):
        return _by(_present(value)) not in (None, "text")
    return shape != "auto" or recognise(value) is not None


_NONE = object()


def _value_under(value: dict[str, Any], name: str, missing: Any = None) -> Any:
    try:
        return _column(value, name)
    except Unusable:
        return missing


def _mapped(value: dict[str, Any], columns: Columns) -> Content:
    """A row whose columns the settings name."""
    if columns.text:
        return Content("columns", text=as_text(_column(value, columns.text)), weight=_weight(value))
    system = system_text(_column(value, columns.system)) if columns.system else None
    dialogue = [
        *_system({"system": system}),
        *spoken(_column(value, columns.question or ""), "user"),
        *spoken(_answer(value, columns), "assistant"),
    ]
    return _whole("columns", dialogue, value)


def _answer(value: dict[str, Any], columns: Columns) -> Any:
    """An answer under a name of the user's: its classes; a number stands for one."""
    if columns.flags:
        return flagged({name: _column(value, name) for name in columns.flags}, columns.flags)
    if isinstance(columns.classes, str):
        return listed(_column(value, columns.classes), columns)
    cell = _column(value, columns.answer or "")
    return class_name(cell, columns) if columns.labels and as_number(cell) is not None else cell


def _column(value: dict[str, Any], name: str) -> Any:
    """The value under `name`, which may lead into objects: `meta.answer`."""
    inner: Any = value
    for part in (name,) if name in value else name.split("."):
        if not isinstance(inner, dict) or part not in inner:
            raise Unusable("missing_column")
        inner = inner[part]
    return inner
