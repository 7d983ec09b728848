"""An audit of data: every record read as `clean` reads it, every row examined as `template` examines it."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.audit.reasons import slug_of, unread
from tasks.clean.checks import fault
from tasks.clean.content import Content, Unusable
from tasks.clean.files import sources
from tasks.clean.read import records
from tasks.clean.record import Record
from tasks.clean.settings import Splits
from tasks.clean.shapes import to_content
from tasks.core.json_files import json_value
from tasks.template.audit import Account, flipped
from tasks.template.rows import Templater

BATCH = 250
"""Rows examined together."""

OBJECTIVES = {"sft": {"messages"}, "dpo": {"preference"}, "kto": {"kto"}, "text": {"text"}}
"""Kinds of rows that each objective trains on."""


def audit(data: Path, templater: Templater, objective: str | None, account: Account) -> None:
    """Examine every row of a file or folder and note it in `account`. Raises `InputError` for what cannot be read.

    For example:

        account = Account("rows")
        audit(Path("chats.jsonl"), templater, "sft", account)
        account.as_dict(ALL)["findings"]
    """
    waiting = rows(data, objective, account)
    for outcomes in templater.stream(iter(lambda: list(islice(waiting, BATCH)), [])):
        for outcome in outcomes:
            account.add(outcome)
        account.count(templater.encoder, outcomes)


def rows(data: Path, objective: str | None, account: Account) -> Iterator[dict[str, Any]]:
    """Rows that can be examined; what is wrong with the others is noted, and they count as having left."""
    number = 0
    for source in sources(data, Splits()):
        for record in records(source):
            number += 1
            name = _name(record, number)
            parsed, slug, detail = _content(record)
            if parsed is not None:
                _look(parsed, record.value or {}, name, account)
                if objective and _kind(parsed) not in OBJECTIVES[objective]:
                    slug, detail = "objective", f"{objective} does not train on rows of the kind {_kind(parsed)}"
            if slug is None and parsed is not None:
                yield {**{column: getattr(parsed, column) for column in COLUMNS}, "id": name}
                continue
            account.rows.came += 1
            account.rows.left[str(slug)] += 1
            account.findings.add(str(slug), name, detail)


COLUMNS = ("messages", "text", "prompt", "chosen", "rejected", "completion", "label", "tools", "weight")
"""Columns of a canonical row that templating reads."""


def _name(record: Record, number: int) -> str:
    """The row's own id, or its number in the data, from 1."""
    row_id = (record.value or {}).get("id")
    return str(row_id) if isinstance(row_id, str | int) and row_id != "" else str(number)


def _content(record: Record) -> tuple[Content | None, str | None, str | None]:
    if record.value is None:
        return None, slug_of(str(record.fault)), f"{record.fault} in line {record.line}"
    try:
        parsed = to_content(record.value)
    except Unusable as unusable:
        return None, slug_of(unusable.reason), f"{unusable.reason} in line {record.line}"
    except RecursionError:
        return None, "unreadable", f"nested too deep in line {record.line}"
    reason = fault(parsed)
    slug = slug_of(reason) if reason else None
    return parsed, slug, None if slug == reason else reason


def _look(parsed: Content, value: dict[str, Any], name: str, account: Account) -> None:
    """Note what is odd about a record beside its tokens."""
    columns = unread(value, parsed.shape)
    if columns:
        account.findings.add("unused_column", name, f"such as {columns[0]}")
    if parsed.chosen and parsed.rejected and flipped(_said(parsed.chosen), _said(parsed.rejected)):
        account.findings.add("flipped", name)
    if any(_has_null(turn["extra"]) for turn in parsed.turns()):
        account.findings.add("null_keys", name)


def _has_null(extra: str | None) -> bool:
    calls = json.loads(extra or "{}").get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        arguments = (call.get("function") or {}).get("arguments") if isinstance(call, dict) else None
        try:
            arguments = json_value(arguments) if isinstance(arguments, str) else arguments
        except ValueError:
            continue
        if isinstance(arguments, dict) and None in arguments.values():
            return True
    return False


def _kind(parsed: Content) -> str:
    if parsed.text is not None:
        return "text"
    if parsed.chosen is not None:
        return "preference"
    return "kto" if parsed.completion is not None else "messages"


def _said(turns: list[dict[str, Any]]) -> str:
    return str(turns[-1]["content"]) if turns else ""


def tokens(account: Account, tokenizer: Any) -> dict[str, Any]:
    """Tokens in all, trained, masked and leaving, and the census of control tokens."""
    control: Counter[str] = Counter()
    for token, count in account.controls.items():
        control[tokenizer.convert_ids_to_tokens(token)] = count
    return {**account.tokens.as_dict(), "control": dict(sorted(control.items()))}
