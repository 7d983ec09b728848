"""Why a row that several requests made leaves: what went wrong first."""

from typing import Any

from tasks.generate.quality import rejection_reason
from tasks.generate.recipes import Lookup, Row
from tasks.teacher.settings import Teacher


def first_fault(result: Row, steps: dict[str, str], lookup: Lookup, teacher: Teacher) -> str | None:
    """The first fault along the steps, or None. `steps`: name of each to the question that its answer must not echo.

    A row that the pipeline lost (`result` is empty) has `no_answer`.
    """
    for name, question in steps.items():
        key = result.get(f"llm_{name}_request")
        if not key:
            return "no_answer"
        if reason := rejection_reason(lookup(key), teacher.max_new_tokens, question):
            return reason
    return None


def request_keys(result: Row, names: list[str]) -> list[str]:
    """Keys of the requests of the steps, each by the prompt's hash, those that were asked."""
    requests: list[Any] = [result.get(f"llm_{name}_request") for name in names]
    return [key for entry in requests for key in (entry if isinstance(entry, list) else [entry]) if key]


def conversation(system: str | None, question: str, answer: str | None) -> list[dict[str, str]]:
    """One question and, where there is one, its answer."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer.strip()})
    return messages
