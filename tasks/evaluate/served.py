"""A candidate behind an endpoint: asked by the protocol, as it has its own chat template and tokens."""

import json
from typing import Any

from tasks.core.errors import InputError, MachineError, SettingsError
from tasks.core.files import fingerprint
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.evaluate.calls import as_text
from tasks.evaluate.engine import Answer
from tasks.evaluate.questions import Question, parts
from tasks.evaluate.settings import Settings
from tasks.rows.tool_call import BadTool, read_calls
from tasks.teacher.cached_client import ask_all
from tasks.teacher.errors import FatalError
from tasks.teacher.request import Response
from tasks.teacher.response_store import ResponseStore
from tasks.teacher.settings import Budget, Teacher


def check(candidate: str, settings: Settings) -> None:
    """Raise `SettingsError` for what an endpoint cannot be asked."""
    if metrics := [metric.column for metric in settings.metrics if metric.asks != "answer"]:
        raise SettingsError(
            f"evaluate.hosted.{candidate}: an endpoint returns no likelihoods, so {', '.join(metrics)} cannot be "
            "computed for it; remove the metric from evaluate.metrics, or the model from evaluate.hosted."
        )
    if settings.benchmarks and candidate in settings.benchmarked:
        raise SettingsError(
            f"evaluate.benchmarked: {candidate} is an endpoint, on which benchmarks cannot run; remove it."
        )


def ask_server(
    held_out: list[dict[str, Any]], candidate: str, server: Teacher, paths: Paths
) -> tuple[list[Question | None], list[Answer]]:
    """Each row as it was asked, and the answer to it.

    A row without an answer counts as wrong, with `no_answer` as its end. Answers are on record until the stage ends,
    and no longer: what stands behind a name at an endpoint may change. Raises `InputError` or `MachineError` where
    nothing more can be asked.
    """
    chats, questions = [], []
    for row in held_out:
        system, turns, reference = parts(row)
        chat = [*system, *turns]
        tools = {"tools": json.loads(row["tools"])} if row.get("tools") else {}
        chats.append({"content": chat, **tools})
        prompt = "\n\n".join(f"{turn['role']}: {turn['content'] or ''}" for turn in chat)
        questions.append(Question(row["id"], prompt, reference, (), 0))
    run = fingerprint(server.model_dump(mode="json"))
    folder = paths.scratch(f"evaluate-{candidate}")
    record = ResponseStore(
        folder / f"{run[:32]}.sqlite"
    )  # another server's answers are no other's, whatever its model's name
    report = reporter(f"evaluate {candidate}", len(chats), "rows")
    try:
        record.forget_failures()
        responses = ask_all(server, chats, record, run, budget=Budget(), report=report)
    except FatalError as error:
        kind = InputError if error.kind == "input" else MachineError
        raise kind(
            f"evaluate.hosted.{candidate}: {error}. Responses so far are kept; fix this and run again."
        ) from None
    finally:
        record.close()
    return list(questions), [_answer(response, server.max_new_tokens) for response in responses]


def _answer(response: Response, max_new_tokens: int) -> Answer:
    if response.failed is not None:
        return Answer("", 0, "no_answer")
    finish = "length" if response.is_truncated(max_new_tokens) else "stop"
    tokens = response.output_tokens or 0
    if not response.tool_calls:
        return Answer(response.text, tokens, finish, response.reasoning)
    raw = json.dumps(list(response.tool_calls), ensure_ascii=False)
    try:
        calls = as_text(read_calls(raw))
    except BadTool:
        calls = raw
    return Answer("\n".join(filter(None, (response.text, calls))), tokens, finish, response.reasoning, raw=raw)
