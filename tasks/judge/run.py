"""The stage: pair the answers, ask twice of each pair, count, and write."""

import json
import shutil
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, MachineError, SettingsError
from tasks.core.files import fingerprint, write_json, written
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.judge.pairs import TIE, Pair, combine_verdicts, parse_verdict, transcript
from tasks.judge.settings import Settings
from tasks.judge.tally import tally
from tasks.rows.canonical import dialogue
from tasks.rows.draw import Drawable, draw
from tasks.rows.parquet import column, read_table, write_table
from tasks.teacher.cached_client import ask_all
from tasks.teacher.errors import FatalError
from tasks.teacher.nodes import nodes
from tasks.teacher.request import Response
from tasks.teacher.response_store import DATABASE, ResponseStore

Row = dict[str, Any]

ORDERS = (False, True)


def judge(settings: Settings, paths: Paths, candidate: str) -> None:
    """Write `data/judged/CANDIDATE` and the record of responses.

        judge(settings, Paths(), "merged")

    Raises `InputError` where the judge cannot be asked or is unclear too often, `MachineError` where it is gone; the
    record is written all the same.
    """
    if candidate not in settings.candidates:
        raise SettingsError(f"judge: {candidate!r} is not in judge.candidates; add it, or name one that is.")
    rows, better = _answers(settings, paths, candidate)
    unlike = [row for row in rows if row["pair"].output != row["pair"].against]
    responses = _asked(settings, paths, candidate, [row["pair"] for row in unlike])
    for row in rows:
        pair = row["pair"]
        row.update(first=TIE, second=TIE, said_first=None, said_second=None, output=pair.output, against=pair.against)
    for row, one, two in zip(unlike, responses[0::2], responses[1::2], strict=True):
        row.update(first=_verdict(one, swapped=False), second=_verdict(two, swapped=True))
        row.update(said_first=one.failed or one.text, said_second=two.failed or two.text)
    for row in rows:
        row["verdict"] = combine_verdicts(row["first"], row["second"])
    unclear = [row for row in rows if row["verdict"] is None]
    if len(unclear) > settings.max_unclear * len(rows):
        first = unclear[0]
        explanation = first["said_second"] if first["first"] is not None else first["said_first"]
        raise InputError(
            f"judge: {len(unclear)} of {len(rows)} rows have no clear verdict, more than judge.max_unclear = "
            f"{settings.max_unclear:g} allows; the judge said of {first['pair'].id}: {_line(explanation)!r}. "
            "Use another judge, raise judge.teacher.max_new_tokens if it was cut off, or raise the limit."
        )
    totals = tally(rows)
    facts = {"candidate": candidate, "against": settings.against, "judge": _name(settings), "better": better}
    with written(paths.judged(candidate)) as out:
        out.mkdir()
        write_json(out / "judged.json", {**facts, **totals})
        write_json(out / "settings.json", settings.model_dump(mode="json", exclude={"candidates"}))
        write(out / "judgements.parquet", rows)
    shutil.rmtree(paths.scratch(f"judge-{candidate}"))
    print(
        f"judge: {candidate} wins {totals['wins']}, ties {totals['ties']} and loses {totals['losses']} against "
        f"{settings.against}; {totals['unclear']} unclear",
        flush=True,
    )


def _answers(settings: Settings, paths: Paths, candidate: str) -> tuple[list[Row], dict[str, str]]:
    """A row for each pair, and which way each metric is better."""
    held_out = read_table(paths.rows("test")).to_pylist()
    prompts = {row["id"]: turns[:-1] for row in held_out if (turns := dialogue(row))}
    one, two = (_predictions(paths.evaluation(name)) for name in (candidate, settings.against))
    metrics = json.loads((paths.evaluation(candidate) / "scores.json").read_text(encoding="utf-8"))["metrics"]
    better = {name: score["better"] for name, score in metrics.items()}
    if [row["id"] for row in one] != [row["id"] for row in two]:
        raise InputError(
            f"judge: {candidate} and {settings.against} were not asked the same rows; run the stage evaluate for both."
        )
    rows = []
    drawable = [Drawable(row["id"], row["reference"], (row["slice"], row["source"])) for row in one]
    for mine, other in ((one[index], two[index]) for index in draw(drawable, settings.limit)[0]):
        pair = Pair(mine["id"], transcript(prompts[mine["id"]]), mine["reference"], mine["output"], other["output"])
        rows.append({"pair": pair, "score": {name: _gain(mine, other, name, way) for name, way in better.items()}})
    return rows, better


def _gain(mine: Row, other: Row, metric: str, better: str) -> float | None:
    if mine[metric] is None or other[metric] is None:
        return None
    return float(mine[metric] - other[metric]) * (1 if better == "higher" else -1)


def _asked(settings: Settings, paths: Paths, candidate: str, pairs: list[Pair]) -> list[Response]:
    """The responses to each pair, in both orders."""
    assert settings.teacher is not None  # as the settings say
    path = paths.judgements(candidate)
    scratch = paths.scratch(f"judge-{candidate}")
    chats = [
        pair.prompt(settings.criteria, reference=settings.reference, swapped=swapped)
        for pair in pairs
        for swapped in ORDERS
    ]
    store = ResponseStore(scratch / DATABASE)
    try:
        store.load(path)
        store.load_shared(paths.records)
        store.forget_failures()
        run = fingerprint([settings.teacher.name, chats])
        report = reporter(f"judge {candidate}", len(chats), "verdicts")
        with nodes([settings.teacher], paths) as where:
            responses = ask_all(settings.teacher, chats, store, run, budget=settings.budget, report=report, where=where)
    except FatalError as error:
        kind = InputError if error.kind == "input" else MachineError
        raise kind(f"judge.teacher: {error}. Responses so far are kept; fix this and run again.") from None
    finally:
        store.save(path)
        store.close()
    if any(response.failed == "budget" for response in responses):
        raise InputError(
            "judge: the budget (judge.budget) is used up; responses so far are kept. Raise it, or set judge.limit."
        )
    return responses


def _verdict(response: Response, *, swapped: bool) -> str | None:
    return None if response.failed else parse_verdict(response.text, swapped=swapped)


def _name(settings: Settings) -> str:
    return settings.teacher.name if settings.teacher else ""


def _line(text: str | None) -> str:
    return " ".join((text or "").split())[:160]


def _predictions(folder: Path) -> list[Row]:
    file = folder / "predictions.parquet"
    if not file.is_file():
        raise InputError(f"{file}: no such file; run the stage evaluate for it first.")
    rows: list[Row] = read_table(file).to_pylist()
    return rows


def write(file: Path, rows: list[Row]) -> None:
    """Write the verdict on each pair, of both orders and together, with the judge's words, as Parquet."""
    import pyarrow as pa

    names = ("first", "second", "verdict", "said_first", "said_second", "output", "against")
    columns = {"id": [row["pair"].id for row in rows], "request": [row["pair"].request for row in rows]}
    columns |= {name: [row[name] for row in rows] for name in names}
    write_table(file, {name: column(values, pa.string()) for name, values in columns.items()})
