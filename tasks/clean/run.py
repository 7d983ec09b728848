"""The stage: make a row of each record; compare them; send each to its split or out; and count every one (INV-7).

Records pass one by one into a scratch file, with a few numbers each; what is decided between rows is decided on the
numbers, on disk; then the scratch file is sorted into the splits. So memory does not grow with the data.
"""

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.clean import cross_row, keys, mixing, unread
from tasks.clean.benchmarks import questions
from tasks.clean.build import built, parts_of
from tasks.clean.class_cells import BAD_CLASSES
from tasks.clean.classes import unnamed, with_names
from tasks.clean.columns import ColumnSurvey, lines
from tasks.clean.files import Source, input_path, sources
from tasks.clean.held_out import Comparison, compared
from tasks.clean.notes import Notes
from tasks.clean.privacy.filter import redact_all
from tasks.clean.profile import MOST, SHOWN, Profile
from tasks.clean.row import RowBuilder
from tasks.clean.settings import Settings
from tasks.clean.signatures import Signatures
from tasks.clean.split import SPLITS, assign_splits
from tasks.clean.tabular import choice
from tasks.clean.write import Scratch, open_split_writers, renamed_in, report_rows
from tasks.core.errors import InputError, LossError
from tasks.core.numbers import counted, listed
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.dedup.memmap import blocks, create, indices_of, zeros_like_rows
from tasks.dedup.minhash import banding
from tasks.dedup.near import clusters_of
from tasks.engine.chosen import Engine, chosen
from tasks.rows.ledger import Ledger

REQUESTED = frozenset({"not_sampled"})
"""Reasons for leaving that somebody asked for: no losses."""


@dataclass
class Tally:
    """What is counted on the way."""

    ledger: Ledger = field(default_factory=Ledger)
    reported: Counter[str] = field(default_factory=Counter)
    """What was found in rows that stay."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason -> the first place it was found at."""


def clean(settings: Settings, paths: Paths, files: list[Source] | None = None) -> None:
    """Run the stage. Raises `InputError` for input it cannot use, `LossError` beyond `clean.max_loss`.

    `files`: those to read; by default all of the input.
    """
    where = input_path(settings.input, settings.hub, paths)
    files = sources(where, settings.splits, settings.mix, settings.shape) if files is None else files
    settings = with_names(settings, where)
    aside = paths.scratch("clean")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with chosen(paths) as engine:
            _clean(settings, paths, where, files, aside, engine)
    finally:
        shutil.rmtree(aside)


def _clean(settings: Settings, paths: Paths, where: Path, files: list[Source], aside: Path, engine: Engine) -> None:
    tally, builder, scratch = Tally(), RowBuilder(settings), Scratch(aside / "records.arrow")
    notes, parts = Notes(ColumnSurvey(settings.columns, settings.row_keys, builder.shown)), parts_of(settings, paths)
    signatures = Signatures(aside, 1 + banding(settings.near_duplicates_within or 1.0)[0])
    report = reporter("clean: files read", len(files), "files")
    with scratch, signatures, (aside / "keys").open("wb") as numbers:
        for number, piece in built(files, settings, engine, parts):
            tally.ledger.came += piece.rows.num_rows
            report(number - 1, rows=tally.ledger.came)
            scratch.add(piece.rows, piece.characters)
            piece.keys.tofile(numbers)
            if piece.signed is not None:
                signatures.add(piece.signed)
            notes.add(piece.notes)
    report(len(files), rows=tally.ledger.came)
    parts.trim()
    if not tally.ledger.came:
        raise InputError(f"{where}: no rows in {counted(len(files), 'data files')}; set clean.input to data with rows.")
    summary = notes.columns.as_dict()
    for line in lines(summary):
        print(f"clean: {line}")
    notes.columns.check(where)
    _check_keys(notes, settings, where)
    if settings.order_key:
        notes.order.check(settings.order_key, where)
    known = keys.load(aside / "keys")
    reasons = cross_row.sample_mix(known, settings.mix)
    clusters = _clusters(signatures, known, reasons, settings, aside)
    splits = assign_splits(known, settings, clusters, cross_row.remaining(known, reasons))
    if settings.duplicates:
        cross_row.mark_duplicates(known, splits, reasons)
    sizes = {} if clusters is None else cross_row.mark_near_duplicates(known, splits, reasons, clusters, MOST)
    conflicting = cross_row.mark_conflicts(known, splits, reasons, drop=settings.conflicts == "drop")
    test = SPLITS.index("test")
    tests = scratch.texts("request", cross_row.remaining(known, reasons, lambda block: splits[block] == test))
    _decontaminate("test", tests, scratch, splits, known, reasons, settings, engine)
    if settings.benchmarks:
        asked = questions(settings.benchmarks, paths.scoring)
        _decontaminate("benchmark", asked, scratch, splits, known, reasons, settings, engine)
    times = mixing.times(known, splits, reasons, settings)
    turns = mixing.Turns(known, splits, reasons, settings.mix, settings.interleave) if settings.interleave else None
    for start, batch in scratch.batches(["reason", "file", "line"]):
        _count(batch, _reasons_for(batch, reasons[start:]), splits[start:], tally)
    tally.ledger.repeated = turns.repeated if turns else mixing.repeated(times)
    tally.ledger.outs["train"] += tally.ledger.repeated
    _check(tally, settings, where, notes)
    order = (pa.float64() if notes.order.numeric else pa.string()) if settings.order_key else None
    names, profile = cross_row.repeated_ids(known, reasons), Profile()
    with open_split_writers(paths.clean, notes.optional_columns, order) as writers:
        for start, batch in scratch.batches():
            leaving, part = _reasons_for(batch, reasons[start:]), splits[start : start + batch.num_rows]
            renamed = renamed_in(batch, start, names)
            report_lines = report_rows(batch, leaving, part, renamed, conflicting[start:])
            writers.write(batch, leaving, part, renamed, report_lines, times[start : start + batch.num_rows])
            profile.add(batch, leaving, part, report_lines)
            tally.reported.update(line["finding"] for line in report_lines)
        if turns:
            turns.write(scratch, writers, names)
    profile.write(paths.profile, _largest(scratch, known, sizes))
    tally.ledger.write(
        paths.ledger,
        files=[source.name for source in files],
        shapes=notes.columns.shapes,
        columns=summary,
        reported=dict(tally.reported),
        privacy=builder.privacy.counts(notes.private_rows, notes.private_findings),
        settings=settings.model_dump(mode="json"),
    )
    ledger = tally.ledger
    out = f"{ledger.outs.total():,} out ({listed(ledger.outs)})"
    repeats = f", {counted(ledger.repeated, 'repeats')} by clean.mix" if ledger.repeated else ""
    print(f"clean: {counted(ledger.came, 'rows')} in{repeats}, {out}, left: {listed(ledger.left)}")
    print(f"clean: found in rows that were kept: {listed(dict(sorted(tally.reported.items())))}")


def _reasons_for(batch: Any, reasons: Any) -> list[str | None]:
    """Why each record of the batch leaves, or None: what was found when it was read, or what came of comparing."""
    alone = batch.column("reason").to_pylist()
    return [before or cross_row.REASONS[number] or None for before, number in zip(alone, reasons, strict=False)]


def _clusters(signatures: Signatures, known: Any, reasons: Any, settings: Settings, aside: Path) -> Any:
    """For each record the first record of its cluster of near-duplicates; None where they are not looked for."""
    threshold = settings.near_duplicates_within
    if threshold is None:
        return None
    stay = cross_row.remaining(known, reasons)
    count = int(stay.sum())
    report = reporter("clean: searched for near-duplicates", count, "rows")
    signed, bands = signatures.those(stay), banding(threshold)[0]
    cluster_of = clusters_of(signed, bands, threshold, scratch=aside, report=report)
    signatures.remove()
    staying, first = create(aside / "staying", np.int64, count), create(aside / "clusters", np.int64, len(known))
    done = 0
    for block in blocks(len(known), stay, staying, first, cluster_of):
        here = block.start + np.flatnonzero(stay[block])
        first[block] = np.arange(block.start, block.stop)
        staying[done : done + len(here)] = here
        first[here] = staying[cluster_of[done : done + len(here)]]  # the first of a cluster comes before the rest
        done += len(here)
    return first


def _largest(scratch: Scratch, known: Any, sizes: dict[int, int]) -> list[dict[str, Any]]:
    """The largest clusters: how many rows were alike, and the one that stayed."""
    largest = list(sizes)
    wanted = zeros_like_rows(known, np.bool_)
    wanted[largest] = True
    texts = dict(zip(sorted(largest), scratch.texts("whole", wanted), strict=True))
    return [{"rows": sizes[index], "example": redact_all(texts[index])[:SHOWN]} for index in largest]


def _decontaminate(
    what: str,
    held_out: Iterable[str],
    scratch: Scratch,
    splits: Any,
    known: Any,
    reasons: Any,
    settings: Settings,
    engine: Engine,
) -> None:
    """Leave out what is not of the test and is too like one of the `held_out` texts, or repeats a passage of one.

    `what`: the last word of the reasons.
    """
    numbers = np.array([0, *(cross_row.REASONS.index(f"{kind}_of_{what}") for kind in ("near_duplicate", "passage"))])
    comparison = Comparison(list(held_out), settings.near_duplicate, settings.passage)
    wanted = cross_row.remaining(known, reasons, lambda block: splits[block] != SPLITS.index("test"))
    report = reporter(f"clean: compared with the {what}", int(wanted.sum()), "rows")
    places, done = indices_of(wanted), 0
    for kinds in compared(comparison, scratch.some_texts("request", wanted), engine):
        at = np.array(list(islice(places, len(kinds))))
        reasons[at[kinds > 0]] = numbers[kinds[kinds > 0]]
        done += len(kinds)
        report(done)


def _count(batch: Any, reasons: list[str | None], splits: Any, tally: Tally) -> None:
    for at, reason in enumerate(reasons):
        if reason is None:
            tally.ledger.outs[SPLITS[splits[at]]] += 1
            continue
        tally.ledger.left[reason] += 1
        if reason not in tally.examples:
            tally.examples[reason] = f"{batch.column('file')[at]}:{batch.column('line')[at]} ({reason})"


def _check_keys(notes: Notes, settings: Settings, where: Path) -> None:
    """Raise `InputError` where rows are to be drawn by a key that none of them has."""
    for name in ("group", "stratify"):
        key = getattr(settings, name)
        if key and key != "source" and notes.columns.shapes and key not in notes.seen_keys:
            raise InputError(
                f"clean.{name}: no row in {where} has the key '{key}'; name another key, or set it to null."
            )


def _check(tally: Tally, settings: Settings, where: Path, notes: Notes) -> None:
    ledger, unknown = tally.ledger, notes.unknown_keys
    examples = ", ".join(tally.examples[reason] for reason in sorted(tally.examples))
    hint = f" For example: {examples}." if examples else ""
    if unknown is not None:
        hint += f" The first row of unknown format: {unread.unknown(unknown, settings.columns)}"
    if notes.candidates:
        hint += f" {choice(notes.candidates)}"
    if ledger.left["unnamed_class"]:
        hint += f" {unnamed(where)}"
    if ledger.left["bad_classes"]:
        hint += f" {BAD_CLASSES}"
    try:
        ledger.check("clean", settings.max_loss, "clean.max_loss", REQUESTED)
    except LossError as error:
        raise LossError(f"{error}{hint}") from None
    if not ledger.outs["train"]:
        raise InputError(
            f"{where}: none of {counted(ledger.came, 'rows')} is left for training; check splits, shares and mix in "
            f"section clean of {PATHS.params}.{hint}"
        )
    if not ledger.outs["test"]:
        raise InputError(
            f"{where}: no test rows; name their files in clean.splits.test, give rows the key split: test, or set "
            f"clean.test_share, in {PATHS.params}."
        )
