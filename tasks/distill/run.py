"""The stage: ask about the rows of a split, compare what comes back with them, and write both side by side."""

import shutil
from collections.abc import Callable
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.core.errors import InputError, MachineError, SettingsError
from tasks.core.files import fingerprint, sha256, write_json, written
from tasks.core.numbers import counted, shown
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.distill.names import Names
from tasks.distill.ready import LARGER, check_budget, check_top
from tasks.distill.rows import SCHEMA, batches, question, record_batch, spans
from tasks.distill.settings import Settings
from tasks.models.loading import load_tokenizer
from tasks.teacher.cached_client import ask_all
from tasks.teacher.errors import FatalError
from tasks.teacher.request import Response
from tasks.teacher.response_store import DATABASE, ResponseStore
from tasks.training.rows import load

ALIKE = 0.5
"""Share of characters (0 to 1) that a row and the server's reading of its tokens have in common, at least."""

FIRST = 8
"""Rows whose text is compared."""


def distill(settings: Settings, paths: Paths, split: str) -> None:
    """Write `data/distilled/SPLIT` and the record of responses.

        distill(settings, Paths(), "train")

    Raises `SettingsError` where the budget will not do, `InputError` where the server tells no likelihoods of these
    tokens, `MachineError` where it is gone; the record is written all the same.
    """
    if split not in settings.splits or settings.teacher is None:
        raise SettingsError(f"distill: {split!r} is not in distill.splits; add it, or name one that is.")
    rows = load(paths.tokens(split))
    if not len(rows):
        raise InputError(f"{paths.tokens(split)}: no rows; remove {split} from distill.splits.")
    price = check_budget(settings, split, paths)
    amount = f"{counted(price.tokens, 'tokens')} of {counted(price.rows, 'rows')}"
    print(f"distill {split}: {amount} to ask about, {shown(price.cost)} at most")
    tokenizer = load_tokenizer(paths.tokenizer)
    check_top(settings.top, len(tokenizer), str(paths.tokenizer))
    scratch = paths.scratch(f"distill-{split}")
    store = ResponseStore(scratch / DATABASE)
    how = [settings.teacher.name, settings.top, settings.form, settings.budget.model_dump()]
    run = fingerprint([*how, sha256(paths.tokens(split))])
    try:
        store.load(paths.likelihoods(split))
        store.load_shared(paths.records)
        store.forget_failures()
        with written(paths.distilled(split)) as out:
            out.mkdir()
            figures = _write(out / "rows.arrow", settings, rows, tokenizer, store, run, split)
            totals = store.totals(run)
            facts = {"split": split, "teacher": settings.teacher.name, "licence": settings.teacher.licence, **figures}
            facts |= {"input_tokens": totals.input_tokens, "output_tokens": totals.output_tokens, "cost": totals.cost}
            write_json(out / "distilled.json", facts)
            write_json(out / "settings.json", settings.model_dump(mode="json", exclude={"splits"}))
    except FatalError as error:
        kind = InputError if error.kind == "input" else MachineError
        raise kind(f"distill.teacher: {error}. Responses so far are kept; fix this and run again.") from None
    finally:
        store.save(paths.likelihoods(split))
        store.close()
    shutil.rmtree(scratch)
    print(
        f"distill {split}: {counted(facts['positions'], 'positions')}; the returned tokens cover "
        f"{facts['covered']:.1%} of the teacher's probability; its loss on the rows' own tokens is "
        f"{facts['nats']:.3f} nats"
    )


def _write(
    file: Path, settings: Settings, rows: Any, tokenizer: Any, store: ResponseStore, run: str, split: str
) -> dict[str, Any]:
    """Ask about `rows`, so many at a time, and write them with what was said; return counts and means."""
    assert settings.teacher is not None
    report = reporter(f"distill {split}", len(rows), "rows")
    done, shares, nats, names = 0, [], [], Names(tokenizer)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as stream:
        for part in batches(rows):
            ask = partial(ask_all, settings.teacher, store=store, run=run, budget=settings.budget)
            questions = [question(row, settings.top, settings.form) for row in part]
            if not done:  # one alone: a server of another kind is paid for a row, and not for all
                first = _accepted(ask(questions[:1], report=report), part)
                _compare(tokenizer, part, first)
                _check_scores(part[0], _known(part[0], first[0], names), names, settings.top)
            responses = _accepted(ask(questions, report=partial(_further, report, done)), part)
            _compare(tokenizer, part[: 0 if done else FIRST], responses)
            scores = [_known(row, response, names) for row, response in zip(part, responses, strict=True)]
            stream.write_batch(record_batch(part, scores, settings.top + 1))
            shares += [np.exp(values).sum() for scored in scores for _, values in scored]
            for row, scored in zip(part, scores, strict=True):
                own = [row["input_ids"][at] for start, end in spans(row["labels"]) for at in range(start, end)]
                nats += [-values[ids.index(token)] for token, (ids, values) in zip(own, scored, strict=True)]
            done += len(part)
    if not done:
        raise InputError(f"distill: no row of {split} has a trained token after its first one; see {PATHS.preview}.")
    return {
        "rows": done,
        "left": {"no token to learn": len(rows) - done},
        "top": settings.top,
        "positions": len(nats),
        "covered": round(float(np.mean(shares)), 6),
        "nats": round(float(np.mean(nats)), 6),
    }


def _further(report: Callable[[int], None], done: int, number: int) -> None:
    report(done + number)


def _accepted(responses: list[Response], part: list[Any]) -> list[Response]:
    """`responses`; `InputError` for the first that is none."""
    for row, response in zip(part, responses, strict=False):
        if response.failed == "budget":
            raise InputError(
                "distill: the budget (distill.budget) is used up; responses so far are kept. Raise it and run again."
            )
        if response.failed is not None:
            raise InputError(
                f"distill: the teacher returned no likelihoods for row {row['id']} ({response.failed}); responses so "
                f"far are kept. Look at the server and run again; if it allows fewer tokens per position, {LARGER}; if "
                "the row is too long, lower template.max_length."
            )
    return responses


def _compare(tokenizer: Any, part: list[Any], responses: list[Response]) -> None:
    """Raise `InputError` where the server reads the ids of rows as another text; some tell no text."""
    for row, response in zip(part, responses, strict=False):
        own = [row["input_ids"][at] for start, end in spans(row["labels"]) for at in range(start, end)]
        theirs, ours, spoken = (
            "".join(letter for letter in text if letter.isascii() and not letter.isspace())
            for text in (response.text, tokenizer.decode(own), tokenizer.decode(own, skip_special_tokens=True))
        )  # some servers write no special tokens
        if theirs and max(SequenceMatcher(None, one, theirs, autojunk=False).ratio() for one in (ours, spoken)) < ALIKE:
            raise InputError(
                f"distill: the server decodes the tokens of row {row['id']} as {theirs[:60]!r}, but they are "
                f"{ours[:60]!r}: its model has another tokenizer than the base. Use a model of the same family, or "
                "learn from a model folder with align.objective gold."
            )


def _check_scores(row: Any, scores: list[Any], names: Names, top: int) -> None:
    """Raise `InputError` where a first row says that the server names other tokens, or none but the row's own."""
    names.check(row["id"])
    if top > 1 and all(len(ids) < 2 for ids, _ in scores):
        raise InputError(
            f"distill: for row {row['id']} the server returns the likelihoods of the row's own tokens only; set "
            "distill.form to another form, or learn from the teacher's answers (generate.teacher)."
        )


def _known(row: Any, response: Response, names: Names) -> list[Any]:
    """The scores of a row by ids, without tokens that the base lacks, such as those that only fill up a vocabulary."""
    known = []
    for likeliest, values in response.scores:
        if isinstance(likeliest[0], int) and likeliest[0] >= names.size:
            raise InputError(
                f"distill: the teacher's most likely token in row {row['id']} is {likeliest[0]}, but the base has only "
                f"{names.size} tokens; use a teacher with the base's tokens."
            )
        by_id: dict[int, float] = {}
        for name, value in sorted(zip(likeliest, values, strict=True), key=lambda one: isinstance(one[0], str)):
            if (token := names.id(name)) is not None:
                by_id.setdefault(token, value)
        known.append(tuple(zip(*sorted(by_id.items(), key=lambda one: (-one[1], one[0])), strict=True)))
    return known
