"""The stage: draw up what to ask, let the pipeline work on it piece by piece, check, count, and write (INV-7).

Rows pass through files in the scratch folder, so memory does not grow with their number. What arrives from the teacher
is on record at once; when the stage fails or is killed, the scratch folder keeps the record for the next run.
"""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from tasks.core.errors import InputError
from tasks.core.files import fingerprint, sha256, write_json, written
from tasks.core.numbers import counted, shown
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.generate.child import Watched, place_order
from tasks.generate.quality import Diversity, near_duplicates
from tasks.generate.recipes import Outcome, Recipe, Row, load_recipe
from tasks.generate.settings import Settings
from tasks.rows.canonical import row_id
from tasks.rows.ledger import Ledger
from tasks.teacher.nodes import nodes
from tasks.teacher.response_store import DATABASE, ResponseStore

SOURCE = "generate"

PIECE = 20_000
"""Rows of the order that one pipeline works on; the next piece gets a pipeline of its own."""

MANNER = {
    "base_url", "key_variable", "concurrency", "requests_per_minute", "request_timeout", "max_retries", "licence"
}  # fmt: skip
"""Settings of a teacher that decide how it is asked, not what."""

UNWANTED = frozenset({"budget"})
"""Reasons that are no loss: the rows were not asked for in the end."""


def generate(settings: Settings, paths: Paths) -> None:
    """Make the rows and write `data/generated` as one folder, and the record of responses.

        generate(Settings(recipe="program", rows=100), Paths())

    Raises `InputError` for a faulty input, a key that is not set, or one that the teacher refuses; `MachineError` where
    the pipeline fails or the teacher is gone; `LossError` beyond `generate.max_loss`.
    """
    work = paths.scratch("generate").resolve()
    _clear(work)
    work.mkdir(parents=True, exist_ok=True)
    ledger = Ledger()
    facts: dict[str, Any] = {"recipe": settings.recipe}
    store = ResponseStore(work / DATABASE)
    filed = 0
    try:
        store.forget_failures()  # of an unfinished run; those of finished runs come with the file
        filed = store.load(paths.responses)
        store.load_shared(paths.records)
        if settings.ask_again:
            store.forget_failures()
        if settings.recipe != "none":
            facts |= _make_rows(settings, paths, work, store, ledger)
            ledger.check("generate", settings.max_loss, "generate.max_loss", UNWANTED)
        else:
            (work / "rows.jsonl").touch()
            (work / "left_out.jsonl").touch()
        store.save(paths.responses)
        with written(paths.generated) as aside:
            aside.mkdir()
            for name in ("rows.jsonl", "left_out.jsonl"):
                shutil.move(work / name, aside / name)
            ledger.write(aside / "ledger.json", **facts)
            write_json(aside / "settings.json", settings.model_dump(mode="json"))
    except BaseException:
        paid = len(store) > filed
        store.close()
        if paid:
            _clear(work)
        else:
            shutil.rmtree(work)
        raise
    store.close()
    shutil.rmtree(work)
    counts = f": {dict(ledger.outs)}, left {dict(ledger.left)}" if ledger.came else ""
    print(f"generate: {counted(ledger.outs.total(), 'rows')} of {ledger.came:,} asked for{counts}", flush=True)
    if "requests" in facts:
        tokens = f"{facts['input_tokens']:,} tokens sent, {facts['output_tokens']:,} answered"
        print(f"generate: {facts['requests']:,} responses used, {tokens}, cost {shown(facts['cost'])}", flush=True)


def _make_rows(settings: Settings, paths: Paths, work: Path, store: ResponseStore, ledger: Ledger) -> dict[str, Any]:
    """Make the rows in `work`; return what the ledger tells beside its counts."""
    recipe = load_recipe(settings.recipe)
    requests = _order(recipe, settings, paths, work / "order.jsonl")
    run = _identity(settings, work / "order.jsonl")
    attempt = uuid4().hex
    store.start_run(run)
    with (
        nodes(settings.teachers(), paths) as where,
        (work / "outcomes.jsonl").open("w", encoding="utf-8") as file,
    ):
        order = {"run": run, "attempt": attempt, "input": str((paths.root / settings.input).resolve())}
        order |= {"address": where.address, "root": str(where.root.resolve())} if where else {}
        for outcome in _outcomes(recipe, settings, work, store, order, requests):
            file.write(json.dumps(vars(outcome), ensure_ascii=False) + "\n")
    diversity = Diversity()
    with (
        (work / "rows.jsonl").open("w", encoding="utf-8") as rows,
        (work / "left_out.jsonl").open("w", encoding="utf-8") as left,
    ):
        for outcome in _mark_near_duplicates(settings, work):
            ledger.came += 1
            row = _row(outcome, settings)
            if outcome.reason is None:
                ledger.outs[row["split"] or "train"] += 1
                diversity.add(outcome.asks, outcome.answers)
                file = rows
            else:
                ledger.left[outcome.reason] += 1
                expected = {"expected": row.pop("expected")} if "expected" in row else {}
                row, file = {"reason": outcome.reason, **expected, **row}, left
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    card = _card(settings, paths)
    if settings.teacher.kind == "program":
        return {"teacher": settings.teacher.name, **card}
    totals = store.totals(run, attempt)
    return {
        "teacher": settings.teacher.name,
        "licence": settings.teacher.licence,
        "requests": totals.requests,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cost": totals.cost,
        "diversity": diversity.facts(),
        **card,
    }


def _card(settings: Settings, paths: Paths) -> dict[str, Any]:
    """What the seed has the model card say, if the rows come from one that does."""
    if settings.recipe != "program":
        return {}
    from tasks.generate.program import load

    card = load(paths.root / settings.input).card
    return {"card": card} if card else {}


def _order(recipe: Recipe, settings: Settings, paths: Paths, path: Path) -> int:
    """Write the rows to start from; return about how many requests they take."""
    requests = 0
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(recipe.order(settings, paths)):
            requests += row["requests"]
            file.write(json.dumps({"place": number, **row}, ensure_ascii=False) + "\n")
    if not requests:
        raise InputError(f"generate.input = {settings.input}: nothing in it to ask about; see generate.recipe.")
    return requests


def _outcomes(
    recipe: Recipe, settings: Settings, work: Path, store: ResponseStore, order: dict[str, str], requests: int
) -> Iterator[Outcome]:
    """What became of every row, a piece of the order after the other; `order`: what is the same for all pieces."""
    report = reporter("generate", requests, "requests")

    def report_used(used: int) -> None:
        report(min(used, requests))

    report_used(0)
    for start in count(0, PIECE):
        piece = list(_lines(work / "order.jsonl", start, start + PIECE))
        if not piece:
            report_used(requests)
            return
        place_order(work, settings, start, start + PIECE, **order)
        Watched(work, settings, partial(store.count_uses, order["run"]), store.__len__, report_used).run()
        answered: dict[int, list[Row]] = {}
        for row in _lines(work / "answers.jsonl"):
            answered.setdefault(row["place"], []).append(row)
        for row in piece:
            outcomes = recipe.outcomes(settings, row, answered.get(row["place"], []), store.get)
            if len(outcomes) != row["asked"]:
                raise AssertionError(f"{settings.recipe}: {len(outcomes)} outcomes of {row['asked']} asked for")
            yield from outcomes


def _mark_near_duplicates(settings: Settings, work: Path) -> Iterator[Outcome]:
    """The outcomes, those that ask nearly what an earlier one asks marked so."""
    path = work / "outcomes.jsonl"
    alike: set[int] = set()
    if settings.recipe != "program" and settings.near_duplicate is not None:
        alike = near_duplicates(lambda: _lines(path), settings.near_duplicate, work, settings.seed)
    for number, outcome in enumerate(_lines(path)):
        yield Outcome(**{**outcome, "reason": "near_duplicate"} if number in alike else outcome)


def _row(outcome: Outcome, settings: Settings) -> Row:
    """The row as it is written: canonical content, identity, and where it comes from."""
    content = outcome.content
    identity = content["messages"] if set(content) <= {"messages", "split", "slice", "expected"} else content
    provenance = {"recipe": settings.recipe, "teacher": settings.teacher.name, **outcome.provenance}
    if settings.teacher.kind != "program":
        named = settings.teacher.model_dump(include={"temperature", "top_p", "seed", "max_new_tokens", "extra"})
        provenance["sampling"] = {name: value for name, value in sorted(named.items()) if name != "extra" or value}
    return {
        "id": row_id(SOURCE, identity),
        "source": SOURCE,
        "split": content.get("split"),
        "slice": content.get("slice"),
        **{name: value for name, value in content.items() if name not in ("split", "slice")},
        "provenance": provenance,
    }


def _identity(settings: Settings, order: Path) -> str:
    """What makes two runs the same: the order, and what decides the requests. What they cost is counted under it."""
    decides = settings.model_dump(mode="json", include={"recipe", "budget", settings.recipe})
    teachers = [teacher.model_dump(mode="json", exclude=MANNER) for teacher in settings.teachers()]
    return fingerprint([decides, teachers, sha256(order)])


def _lines(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in islice(file, start, stop))


def _clear(work: Path) -> None:
    """Remove everything in the scratch folder but the record."""
    if work.is_dir():
        for path in work.iterdir():
            if path.name.startswith(DATABASE):
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()
