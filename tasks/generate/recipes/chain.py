"""Why a row that several requests made leaves: what went wrong first."""

from typing import Any

from tasks.generate.quality import fault
from tasks.generate.recipes import Row, Said
from tasks.generate.settings import Teacher


def first_fault(made: Row, steps: dict[str, str], said: Said, teacher: Teacher) -> str | None:
    """The first fault along the steps, or None. `steps`: name of each to the question that its answer must not echo.

    A row that the pipeline lost (`made` is empty) has `no_answer`.
    """
    for name, asked in steps.items():
        key = made.get(f"llm_{name}_request")
        if not key:
            return "no_answer"
        if found := fault(said(key), teacher.max_new_tokens, asked):
            return found
    return None


def keys(made: Row, names: list[str]) -> list[str]:
    """Keys of the requests of the steps, each by the prompt's hash, those that were asked."""
    found: list[Any] = [made.get(f"llm_{name}_request") for name in names]
    return [key for entry in found for key in (entry if isinstance(entry, list) else [entry]) if key]


def conversation(system: str | None, asked: str, answer: str | None) -> list[dict[str, str]]:
    """One question and, where there is one, its answer."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": asked})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer.strip()})
    return messages
