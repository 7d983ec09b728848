"""Served = evaluated: some held-out rows are asked of a server, and the answers compared with those on record.

A wrong template, a missing stop, a system prompt that somebody added, the wrong weights: each makes a server answer
otherwise than the model that was evaluated, and nothing else says so.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tasks.core.errors import InputError, MachineError
from tasks.core.files import read_json
from tasks.core.paths import Paths
from tasks.evaluate.questions import parts, rows
from tasks.evaluate.settings import BASES, Settings
from tasks.rows.parquet import read_table
from tasks.serve.alike import Alike, Question, whole
from tasks.teacher.backends import create_backend
from tasks.teacher.errors import FatalError, RequestError, TransientError
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Teacher

ROWS = 8
"""Rows that are asked, unless somebody wants others."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """A row that a server answers otherwise."""

    question: Question
    served: str
    how: str
    """In a phrase."""

    def lines(self) -> list[str]:
        """For people: the question, both answers, and how they differ."""
        asked = next((turn["content"] for turn in reversed(self.question.messages) if turn["role"] == "user"), "")
        return [
            f"row {self.question.id}: {_short(asked)}",
            f"    evaluated  {_short(self.question.output)}",
            f"    served     {_short(self.served)}",
            f"    {self.how}",
        ]


@dataclass(frozen=True)
class Verdict:
    """What came of asking."""

    asked: int
    differences: list[Difference]
    notes: list[str]
    """What may be behind the differences, or shows in no answer."""


class NotEvaluated(InputError):
    """There are no answers of the candidate to compare with."""


def questions(candidate: str, count: int, settings: Settings, paths: Paths, system: str = "") -> list[Question]:
    """`count` held-out rows that tell best whether somebody else answers: rows that the untuned base answered otherwise
    (for the base: the tuned model), with as many different answers as there are.

    `system` stands before each row's own system prompt. Raises `NotEvaluated`.
    """
    predictions = _predictions(candidate, paths)
    if not paths.rows("test").is_file():
        raise NotEvaluated(f"{candidate}: {paths.rows('test')} is missing, so no row can be asked; run `dvc checkout`.")
    held_out = {row["id"]: row for row in rows(paths.rows("test"))[0]}
    usable = [row for row in predictions if row["finish"] in ("stop", "length") and row["id"] in held_out]
    if not usable:
        raise NotEvaluated(
            f"{candidate}: the evaluation has no generated answers to test rows, so there is nothing to compare: its "
            "metrics use likelihoods, or the rows have changed."
        )
    other = _outputs("merged" if candidate in BASES else "base", paths)
    ordered = sorted(usable, key=lambda row: str(row["id"]))
    seen: Counter[str] = Counter()
    ranked: list[tuple[bool, bool, int, int]] = []
    for row in ordered:
        same, cut = other.get(row["id"]) == row["output"], row["finish"] != "stop"
        ranked.append((same, cut, seen[row["output"]], len(ranked)))
        seen[row["output"]] += 1
    chosen = [ordered[index] for *_, index in sorted(ranked)[:count]]
    return [_question(row, held_out[row["id"]], system) for row in chosen]


def room(candidate: str, paths: Paths) -> int:
    """Tokens that an answer had in evaluation."""
    return int(read_json(paths.evaluation(candidate) / "scores.json", f"evaluate {candidate}")["max_new_tokens"])


def compare(asked: list[Question], limit: int, teacher: Teacher, tokenizer: Any) -> tuple[list[Difference], list[int]]:
    """Ask a server each of the questions greedily; return what differs, and the tokens that it counts of each prompt.

    `limit`: tokens of an answer in evaluation. Raises `MachineError` or `InputError` where the server cannot be asked.
    """
    responses = asyncio.run(_ask(asked, limit, teacher))
    alike = Alike(tokenizer)
    differences = []
    for question, response in zip(asked, responses, strict=True):
        how = alike.difference(question, response)
        if how:
            differences.append(Difference(question, alike.shown(response), how))
    return differences, [response.input_tokens or 0 for response in responses]


def verdict(candidate: str, asked: list[Question], teacher: Teacher, tokenizer: Any, paths: Paths) -> Verdict:
    """Ask, compare, and say what may be behind what differs."""
    differences, sent = compare(asked, room(candidate, paths), teacher, tokenizer)
    notes = []
    for one, served in zip(asked, sent, strict=True):
        here = len(tokenizer(one.prompt, add_special_tokens=False)["input_ids"]) if tokenizer and one.prompt else 0
        if here and served and here != served:
            notes.append(
                f"row {one.id} has {served} tokens on the server but {here} in the evaluation: the server uses another "
                "chat template, system prompt or tokenizer."
            )
            break
    if differences:
        notes += _whose(candidate, differences, len(asked), paths)
    return Verdict(len(asked), differences, notes)


def _whose(candidate: str, differences: list[Difference], asked: int, paths: Paths) -> list[str]:
    """Other candidates that gave all these answers in evaluation, if there are any."""
    same = []
    for folder in sorted(paths.evaluation("").glob("[!.]*")):
        outputs = _outputs(folder.name, paths) if folder.name != candidate else {}
        if outputs and all(_is(outputs.get(one.question.id, ""), one.served) for one in differences):
            same.append(folder.name)
    if same:
        return [f"these answers match those of {' and of '.join(same)}: does the server run that model?"]
    if len(differences) == asked > 1:
        return ["no row has the same answer as in the evaluation: the server runs another model or chat template."]
    return []


def _is(output: str, served: str) -> bool:
    """Whether a server gave an answer that is on record, or went on where the record was cut."""
    return bool(whole(output)) and whole(served).startswith(whole(output))


async def _ask(asked: list[Question], limit: int, teacher: Teacher) -> list[Response]:
    try:
        backend = create_backend(teacher)
    except FatalError as error:
        raise InputError(str(error)) from None
    try:
        return [await _answer(backend, question, limit, teacher) for question in asked]
    finally:
        await backend.close()


async def _answer(backend: Any, question: Question, limit: int, teacher: Teacher) -> Response:
    tools = {"tools": json.loads(question.tools)} if question.tools else {}
    # one token more than in evaluation, where the token that ends an answer was not counted
    content = {"content": [dict(turn) for turn in question.messages], "max_tokens": limit + 1, **tools}
    request = Request.of(teacher, str(teacher.model), content)
    try:
        response: Response = await backend.ask(request)
    except FatalError as error:
        raise InputError(f"{teacher.url}: {error}") from None
    except TransientError as error:
        raise MachineError(f"{teacher.url}: {error}") from None
    except RequestError as error:
        return Response(failed=str(error))
    return response


def _question(prediction: Row, row: Row, system: str) -> Question:
    own, turns, _ = parts(row, system)
    return Question(
        row["id"], (*own, *turns), row.get("tools"), prediction["prompt"] or "", prediction["output"],
        prediction["reasoning"] or "", prediction["finish"],
    )  # fmt: skip


def _predictions(candidate: str, paths: Paths) -> list[Row]:
    file = paths.evaluation(candidate) / "predictions.parquet"
    if not file.is_file():
        evaluated = sorted(one.parent.name for one in paths.evaluation("").glob(f"*/{file.name}"))
        there = f"evaluated: {', '.join(evaluated)}" if evaluated else "nothing is evaluated yet"
        raise NotEvaluated(
            f"{candidate} was not evaluated, so there are no answers to compare with ({there}); `temper run` evaluates "
            "the models that the settings name."
        )
    read: list[Row] = read_table(file).to_pylist()
    return read


def _outputs(candidate: str, paths: Paths) -> dict[str, str]:
    """Answers by row; none where the candidate was not evaluated."""
    try:
        return {row["id"]: row["output"] for row in _predictions(candidate, paths)}
    except NotEvaluated:
        return {}


def _short(text: str) -> str:
    """On one line that fits a terminal, with what it would obey made visible."""
    line = json.dumps(text, ensure_ascii=False)[1:-1]
    line = "".join(sign if sign.isprintable() else "?" for sign in line)
    return line if len(line) <= 160 else f"{line[:157]}..."
