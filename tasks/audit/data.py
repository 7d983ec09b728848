"""An audit of data: every record read as `clean` reads it, every row examined as `template` examines it."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.audit.reasons import slug_of, slug_of_unread
from tasks.clean.calls import ARGUMENTS, NULL_KEYS, RESULT_ORDER, RESULTS
from tasks.clean.checks import fault
from tasks.clean.classes import with_names
from tasks.clean.columns import ColumnSurvey
from tasks.clean.content import Content, Unusable
from tasks.clean.files import sources
from tasks.clean.read import records
from tasks.clean.record import Record
from tasks.clean.settings import Settings, Splits
from tasks.clean.shapes import to_content
from tasks.clean.tabular import Ambiguous, choice
from tasks.clean.unread import FATAL, sentence
from tasks.core.json_files import json_value
from tasks.engine.chosen import Local
from tasks.rows.canonical import turns
from tasks.template.audit import Account
from tasks.template.pairs import flipped
from tasks.template.rows import Templater
from tasks.template.stream import stream

BATCH = 250
"""Rows examined together."""

KEYS = 12
"""Keys of a record of no known shape that are named."""

OBJECTIVES = {"sft": {"messages"}, "dpo": {"preference"}, "kto": {"kto"}, "text": {"text"}}
"""Kinds of rows that each objective trains on."""


def audit(
    data: Path, templater: Templater, objective: str | None, account: Account, how: Settings | None = None
) -> dict[str, Any]:
    """Examine every row of a file or folder, note it in `account`, and return which columns each shape is read from.

    Raises `InputError` for what cannot be read. `how`: shape and columns as
    section `clean` has them. For example:

        account = Account("rows")
        audit(Path("chats.jsonl"), templater, "sft", account)  # {"messages": {"rows": 2, "read": {...}, ...}}
        account.as_dict(ALL)["findings"]
    """
    how = with_names(how or Settings(), data)
    survey = ColumnSurvey(how.columns, shown=str)
    waiting = rows(data, objective, account, how, survey)
    for outcomes in stream(templater.outcomes, iter(lambda: list(islice(waiting, BATCH)), []), Local()):
        for outcome in outcomes:
            account.add(outcome)
        account.count(templater.encoder, outcomes)
    return survey.as_dict()


def rows(
    data: Path, objective: str | None, account: Account, how: Settings, survey: ColumnSurvey
) -> Iterator[dict[str, Any]]:
    """Rows that can be examined; what is wrong with the others is noted, and they count as having left."""
    number = 0
    for source in sources(data, Splits()):
        for record in records(source):
            number += 1
            name = name_of(record, number)
            parsed, slug, detail = _content(record, how)
            if parsed is not None:
                unread = _look(parsed, record, name, account, survey)
                if slug is None and unread:
                    slug, detail = "unread_column", unread
                if objective and _kind(parsed) not in OBJECTIVES[objective]:
                    slug, detail = "objective", f"{objective} does not train on rows of the kind {_kind(parsed)}"
            if slug is None and parsed is not None:
                yield {**{column: getattr(parsed, column) for column in COLUMNS}, "id": name}
                continue
            if parsed is not None and flipped(turns(parsed.chosen or []), turns(parsed.rejected or [])):
                account.findings.add("flipped", name)  # of rows that go on the template stage's code says so
            account.rows.came += 1
            account.rows.left[str(slug)] += 1
            account.findings.add(str(slug), name, detail)


COLUMNS = ("messages", "text", "prompt", "chosen", "rejected", "completion", "label", "tools", "weight")
"""Columns of a canonical row that templating reads."""


def name_of(record: Record, number: int) -> str:
    """The row's own id, or its number in the data, from 1."""
    row_id = (record.value or {}).get("id")
    return str(row_id) if isinstance(row_id, str | int) and row_id != "" else str(number)


def _content(record: Record, how: Settings) -> tuple[Content | None, str | None, str | None]:
    if record.value is None:
        return None, slug_of(str(record.fault)), f"{record.fault} in line {record.line}"
    try:
        parsed = to_content(record.value, how.shape, how.alpaca_instruction, how.columns)
    except Unusable as unusable:
        if isinstance(unusable, Ambiguous):
            return None, slug_of(unusable.reason), f"line {record.line}: {choice(unusable.candidates)}"
        known = ""
        if unusable.reason == "unknown_shape":
            keys = ", ".join(list(record.value)[:KEYS])
            known = f"; its keys are {keys}: name the columns, as --column question=NAME --column answer=NAME"
        return None, slug_of(unusable.reason), f"{unusable.reason} in line {record.line}{known}"
    except RecursionError:
        return None, "unreadable", f"nested too deep in line {record.line}"
    reason = fault(parsed)
    slug = slug_of(reason) if reason else None
    return parsed, slug, None if slug == reason else reason


def _look(parsed: Content, record: Record, name: str, account: Account, survey: ColumnSurvey) -> str | None:
    """Note what is odd about a record beside its tokens; returns what is to be said of a column that must be read."""
    value = record.value or {}
    missed, place = survey.missed(value, parsed), f"{record.source.name}:{record.line}"
    survey.add(value, parsed.shape, missed, place)
    if any(slug_of_unread(unread) == "unused_column" for unread in missed):
        account.findings.add("unused_column", name, f"such as {missed[0].name}")
    notes = {finding.name for finding in parsed.findings}
    if NULL_KEYS in notes or any(_has_null(turn["extra"]) for turn in parsed.turns()):
        account.findings.add("null_keys", name)
    if notes & {RESULT_ORDER, RESULTS, ARGUMENTS}:
        account.findings.add("mended_calls", name)
    fatal = next((unread for unread in missed if unread.kind in FATAL), None)
    return sentence(fatal, place) if fatal else None


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


def tokens(account: Account, tokenizer: Any) -> dict[str, Any]:
    """Tokens in all, trained, masked and leaving, and the census of control tokens."""
    control: Counter[str] = Counter()
    for token, count in account.controls.items():
        control[tokenizer.convert_ids_to_tokens(token)] = count
    return {**account.tokens.as_dict(), "control": dict(sorted(control.items()))}
