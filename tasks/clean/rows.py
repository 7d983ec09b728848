"""The stage: read, recognise, check, split, remove duplicates, write; and count every row (INV-7)."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.clean import Settings
from tasks.clean.checks import fault
from tasks.clean.duplicates import near_duplicates, normalised
from tasks.clean.read import Record, Source, records, sources
from tasks.clean.shapes import Content, Unusable, content
from tasks.clean.split import SPLITS, drawn, given
from tasks.clean.write import write_left_out, write_rows
from tasks.contract.errors import InputError, LossError
from tasks.contract.ledger import Ledger
from tasks.contract.paths import Paths
from tasks.contract.progress import reporter
from tasks.contract.rows import row_id


@dataclass
class Row:
    """A record that is a row so far."""

    record: Record
    content: Content
    split: str | None
    source: str
    slice: str | None


@dataclass(frozen=True)
class Left:
    """A record that left, and why."""

    reason: str
    record: Record


def clean(settings: Settings, paths: Paths) -> None:
    """Run the stage. Raises `InputError` for input it cannot use, `LossError` beyond `clean.max_loss`."""
    place = paths.root / settings.input
    files = sources(place, settings.splits)
    ledger, shapes = Ledger(), Counter[str]()
    rows, left = _rows(files, settings, ledger, shapes)
    if not ledger.came:
        raise InputError(f"{place}: the {len(files)} data file(s) hold no rows; set clean.input to data with rows.")
    _split(rows, settings)
    kept = _without_duplicates(rows, left, settings)
    for row in kept:
        ledger.outs[str(row.split)] += 1
    ledger.left.update(leaver.reason for leaver in left)
    _check(ledger, left, settings, place)
    for split in SPLITS:
        write_rows(paths.clean / f"{split}.parquet", _table(kept, split))
    left.sort(key=lambda leaver: (leaver.record.file, leaver.record.line))
    write_left_out(
        paths.clean / "left_out.parquet",
        [
            {"reason": gone.reason, "file": gone.record.file, "line": gone.record.line, "row": gone.record.raw}
            for gone in left
        ],
    )
    ledger.write(
        paths.clean / "ledger.json",
        files=[source.name for source in files],
        shapes=dict(shapes),
        settings=settings.model_dump(mode="json"),
    )
    print(f"clean: {ledger.came} rows in, {ledger.outs.total()} out {dict(ledger.outs)}, left {dict(ledger.left)}")


def _rows(
    files: list[Source], settings: Settings, ledger: Ledger, shapes: Counter[str]
) -> tuple[list[Row], list[Left]]:
    """Read every record; return those that are rows, and those that left."""
    rows: list[Row] = []
    left: list[Left] = []
    report = reporter("clean: files read", len(files), "files")
    for done, source in enumerate(files, 1):
        for record in records(source):
            ledger.came += 1
            row = _row(record, settings)
            if isinstance(row, Left):
                left.append(row)
            else:
                shapes[row.content.shape] += 1
                rows.append(row)
        report(done, rows=ledger.came)
    return rows, left


def _row(record: Record, settings: Settings) -> Row | Left:
    if record.value is None:
        return Left(record.fault or "parse_error", record)
    try:
        found = content(record.value, settings.shape, settings.alpaca_instruction)
    except Unusable as unusable:
        return Left(unusable.reason, record)
    if reason := fault(found, settings.max_chars):
        return Left(reason, record)
    try:
        split = given(record.split, record.value)
    except ValueError:
        return Left("unknown_split", record)
    source, slice_ = record.value.get("source"), record.value.get("slice")
    return Row(
        record,
        found,
        split,
        source if isinstance(source, str) and source else record.file,
        slice_ if isinstance(slice_, str) and slice_ else None,
    )


def _split(rows: list[Row], settings: Settings) -> None:
    """Give every row its split; `train` gives up a share by hash to a split that nothing was given to."""
    named = {row.split for row in rows}
    validation = 0.0 if "validation" in named else settings.validation_share
    test = 0.0 if "test" in named else settings.test_share
    for row in rows:
        if row.split in (None, "train"):
            row.split = drawn(row.content.request(), validation, test)


def _without_duplicates(rows: list[Row], left: list[Left], settings: Settings) -> list[Row]:
    """The rows that stay, in their order; what is in `test` stays before `validation`, and that before `train`."""
    reasons: dict[int, str] = {}
    if settings.duplicates:
        whole: set[tuple[str, ...]] = set()
        asked: dict[str, str] = {}
        for split in reversed(SPLITS):
            for place, row in enumerate(rows):
                if row.split != split:
                    continue
                request = normalised(row.content.request())
                if asked.setdefault(request, split) != split:
                    reasons[place] = "duplicate_across_splits"
                elif (key := _key(row.content)) in whole:
                    reasons[place] = "duplicate"
                else:
                    whole.add(key)
    if settings.near_duplicate is not None:
        tests = [row.content.request() for row in rows if row.split == "test"]
        others = [place for place, row in enumerate(rows) if row.split != "test" and place not in reasons]
        report = reporter("clean: compared with the test", len(others), "rows")
        requests = [rows[place].content.request() for place in others]
        alike = near_duplicates(tests, requests, settings.near_duplicate, report)
        reasons |= {place: "near_duplicate_of_test" for place, near in zip(others, alike, strict=True) if near}
    left.extend(Left(reason, rows[place].record) for place, reason in reasons.items())
    return [row for place, row in enumerate(rows) if place not in reasons]


def _key(found: Content) -> tuple[str, ...]:
    """What two rows share when they are duplicates; answers count exactly, for case can matter in them."""
    if found.messages is None:
        return ("text", normalised(found.text or ""))
    turns = (
        f"{message['role']}: {normalised(message['content']) if message['role'] == 'user' else message['content']}"
        for message in found.messages
    )
    return (found.tools or "", found.tool_calls or "", *turns)


def _check(ledger: Ledger, left: list[Left], settings: Settings, place: Path) -> None:
    examples: dict[str, str] = {}
    for gone in left:
        examples.setdefault(gone.reason, f"{gone.record.file}:{gone.record.line} ({gone.reason})")
    where = f" For example: {', '.join(examples[reason] for reason in sorted(examples))}." if examples else ""
    try:
        ledger.check("clean", settings.max_loss, "clean.max_loss")
    except LossError as error:
        raise LossError(f"{error}{where}") from None
    if not ledger.outs["train"]:
        raise InputError(f"{place}: none of {ledger.came} rows is left for training.{where}")
    if not ledger.outs["test"]:
        raise InputError(
            f"{place}: no row is for the test; name its files in clean.splits.test, give rows the key split: test, "
            "or set clean.test_share, in params.yaml."
        )


def _table(rows: list[Row], split: str) -> list[dict[str, Any]]:
    """Canonical rows of one split; an id that stands twice (duplicates kept) gets its number behind it."""
    seen: Counter[str] = Counter()
    table = []
    for row in rows:
        if row.split != split:
            continue
        name = row_id(row.source, row.content.identity())
        seen[name] += 1
        table.append(
            {
                "id": name if seen[name] == 1 else f"{name}-{seen[name]}",
                "source": row.source,
                "split": split,
                "slice": row.slice,
                "messages": row.content.messages,
                "text": row.content.text,
                "tools": row.content.tools,
                "tool_calls": row.content.tool_calls,
            }
        )
    return table
