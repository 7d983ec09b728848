"""Shapes of tables: one question and one answer a row, under the names that data sets of the hub give to them.

Tried after the shapes that name their turns. Where a table can be read in more than one way, nothing is guessed:
`Ambiguous` says what to write for each.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.clean.content import Unusable
from tasks.clean.flags import as_number
from tasks.clean.modality import is_turn
from tasks.core.paths import PATHS
from tasks.rows.label_lists import labels_in

QUESTIONS = frozenset({
    "question", "query", "input", "inputs", "problem", "prompt", "instruction", "instructions", "user", "human",
    "request", "goal",
})  # fmt: skip
CONTEXTS = frozenset({"context", "passage", "background", "schema", "article", "document"})
ANSWERS = frozenset({
    "answer", "answers", "response", "output", "outputs", "solution", "completion", "reply", "assistant", "target",
    "targets", "sql", "final_answer", "generated_solution",
})  # fmt: skip
TEXTS = frozenset({"text", "sentence", "utterance", "tweet", "review", "content", "title"})
CLASSES = ("label_text", "label_name", "label", "labels", "category", "intent", "class", "sentiment", "emotion")
"""Columns of classes; of several the first that holds texts is read."""
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"),
    ("sentence_a", "sentence_b"), ("text_a", "text_b"),
)  # fmt: skip
"""Two texts that a class is given to."""
TRIPLETS = (("query", "positive", "negative"), ("anchor", "positive", "negative"), ("query", "pos", "neg"))
"""A text, one that goes with it, and one that does not."""
CODE = (("docstring", "code"), ("func_documentation_string", "func_code_string"), ("docstring", "function"))
"""What code is to do, and the code."""
RESPONSES = ("responses", "completions", "generations", "candidates", "answers")
SCORES, RANKS = ("scores", "ratings", "score", "rating"), ("ranks", "rank", "ranking", "rankings")
"""Lists beside the responses, or keys within each: a high score is good, and so is a low rank."""
DIALOGUES = ("dialog", "dialogue", "conversation", "turns", "utterances", "chat", "conversations", "messages")
"""Columns of texts that user and assistant say in turn, where no roles stand beside them."""
LONGEST_CLASS = 100
"""Characters of the longest name of a class; what is longer is an answer or a text."""

CHOICES = ("choices", "options", "endings")
"""Columns of answers among which a number or a letter chooses."""

CANDIDATES = 6
"""Ways of reading a table that are listed."""


class Ambiguous(Unusable):
    """A table that can be read in several ways; `candidates` are what to write into section `clean` for each."""

    def __init__(self, candidates: Sequence[str]) -> None:
        super().__init__("ambiguous_shape")
        self.candidates = tuple(candidates[:CANDIDATES])


class Table(NamedTuple):
    """How a row of a table is read."""

    shape: str
    columns: dict[str, str]
    """Part of the row -> the column that holds it: question, context, text, answer, class, chosen, rejected, ..."""


def table(value: Mapping[str, Any]) -> Table | None:
    """How a row is read by the names of its columns; None where they say nothing. Raises `Ambiguous`.

    `value` has no column without a value. For example:

        table({"question": "2 + 2?", "answer": "4"}).shape  # "question_answer"
        table({"problem": "2 + 2?", "solution": "It is 4.", "answer": "4"})  # Ambiguous: which of the two is trained?
    """
    names = {_plain(name): name for name in value}
    for shape, find in _KINDS:
        if columns := find(names, value):
            return Table(shape, columns)
    return None


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _ranked(names: dict[str, str], value: Mapping[str, Any]) -> dict[str, str]:
    asked = [names[name] for name in names if name in QUESTIONS and isinstance(value[names[name]], str)]
    for name in RESPONSES:
        responses = value.get(names.get(name, ""))
        if len(asked) != 1 or not isinstance(responses, list) or len(responses) < 2:
            continue
        beside = [names[order] for order in (*SCORES, *RANKS) if isinstance(value.get(names.get(order, "")), list)]
        if beside:
            return {"question": asked[0], "responses": names[name], "order": beside[0]}
        if all(isinstance(one, dict) and _order(one) for one in responses):
            return {"question": asked[0], "responses": names[name]}
    return {}


def _order(response: Mapping[str, Any]) -> str | None:
    return next((name for name in (*SCORES, *RANKS) if as_number(response.get(name)) is not None), None)


def _triplet(names: dict[str, str], value: Mapping[str, Any]) -> dict[str, str]:
    for one in TRIPLETS:
        if all(name in names for name in one):
            return dict(zip(("question", "chosen", "rejected"), (names[name] for name in one), strict=True))
    return {}


def _code(names: dict[str, str], value: Mapping[str, Any]) -> dict[str, str]:
    for one in CODE:
        if all(name in names for name in one):
            return dict(zip(("question", "answer"), (names[name] for name in one), strict=True))
    return {}


def _classes(names: dict[str, str], value: Mapping[str, Any]) -> dict[str, str]:
    """Two texts or one, and a class: a short text or a whole number."""
    classes = [names[name] for name in CLASSES if name in names and _is_class(value[names[name]])]
    column = next((name for name in classes if isinstance(value[name], str)), classes[0] if classes else None)
    if column is None:
        return {}
    for first, second in PAIRS:
        if first in names and second in names:
            return {"text": names[first], "second text": names[second], "class": column}
    texts = [names[name] for name in names if name in TEXTS and isinstance(value[names[name]], str)]
    if len(texts) > 1:
        raise Ambiguous([mapped(question=text, answer=column) for text in texts])
    return {"text": texts[0], "class": column} if texts else {}


def _is_class(value: Any) -> bool:
    """Whether it is the name or the number of a class, or a list of them, which may be empty; train refuses empty names
    in it."""
    if isinstance(value, list | tuple):
        return all(one == "" or (not isinstance(one, list | tuple) and _is_class(one)) for one in value)
    if isinstance(value, str):
        short = 0 < len(value.strip()) <= LONGEST_CLASS and "\n" not in value.strip()
        return short or (value.startswith("[") and labels_in(value) is not None)
    return not isinstance(value, bool) and isinstance(value, int | float) and float(value).is_integer()


def _answers(names: dict[str, str], value: Mapping[str, Any]) -> dict[str, str]:
    asked = [names[name] for name in names if name in QUESTIONS and isinstance(value[names[name]], str)]
    answered = [names[name] for name in names if name in ANSWERS]
    if not asked or not answered:
        return {}
    if len(asked) * len(answered) > 1:
        raise Ambiguous([
            mapped(question=question, answer=answer, ignored=[name for name in answered if name != answer])
            for question in asked
            for answer in answered
        ])  # fmt: skip
    context = [names[name] for name in names if name in CONTEXTS and isinstance(value[names[name]], str)]
    if any(name in names for name in CHOICES):
        raise Ambiguous(
            [mapped(question=asked[0], answer=answered[0], ignored=[names[name] for name in CHOICES if name in names])]
        )
    if len(context) > 1:
        raise Ambiguous([mapped(question=asked[0], answer=answered[0])])
    return {**({"context": context[0]} if context else {}), "question": asked[0], "answer": answered[0]}


def _dialogue(names: dict[str, str], value: Mapping[str, Any]) -> dict[str, str]:
    """A list of texts, or turns with roles under whatever name; none where two columns have some."""
    texts = [names[name] for name in DIALOGUES if name in names and are_texts(value[names[name]])]
    nested = [name for name, kept in value.items() if inner_turns(kept) is not None]
    return {"dialogue": (texts or nested)[0]} if len(texts) + len(nested) == 1 else {}


def are_texts(value: Any) -> bool:
    """Whether it is a list of several texts."""
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(one, str) for one in value)


def inner_turns(value: Any) -> list[Any] | None:
    """The turns with roles that `value` is, or that it holds under its one key; None where it holds none."""
    if isinstance(value, dict):
        lists = [inner for kept in value.values() if (inner := inner_turns(kept)) is not None]
        return lists[0] if len(lists) == 1 else None
    if not isinstance(value, list | tuple) or not value:
        return None
    return list(value) if all(map(is_turn, value)) else None


_KINDS = (
    ("ranked", _ranked), ("triplet", _triplet), ("code", _code), ("classification", _classes),
    ("question_answer", _answers), ("dialogue", _dialogue),
)  # fmt: skip


def mapped(question: str, answer: str, ignored: Sequence[str] = ()) -> str:
    """The line for section `clean` that reads a table so."""
    more = f", ignored: [{', '.join(map(_quoted, ignored))}]" if ignored else ""
    return f"columns: {{question: {_quoted(question)}, answer: {_quoted(answer)}{more}}}"


def _quoted(name: str) -> str:
    """A name as YAML reads it back."""
    return name if re.fullmatch(r"[A-Za-z_][\w.]*", name) else json.dumps(name, ensure_ascii=False)


def best_and_worst(value: Mapping[str, Any], columns: Mapping[str, str]) -> Iterator[Any]:
    """The response with the best score or rank, and the one with the worst. Raises `Unusable` where there is none."""
    responses, name = value[columns["responses"]], columns.get("order")
    if name is None:
        name = _order(responses[0]) or ""
        orders = [one.get(name) for one in responses]
    else:
        orders = value[name]
    numbers = [as_number(one) for one in orders]
    if len(numbers) != len(responses) or None in numbers:
        raise Unusable("unranked")
    sign = -1.0 if _plain(name) in RANKS else 1.0
    ordered = [sign * number for number in numbers if number is not None]
    if max(ordered) == min(ordered):
        raise Unusable("unranked")
    for extreme in (max(ordered), min(ordered)):
        yield _said(responses[ordered.index(extreme)])


def _said(response: Any) -> Any:
    """The text of a response, which may be an object that holds it beside its score."""
    if not isinstance(response, dict) or "role" in response:
        return response
    texts = [
        response[name] for name in ("response", "text", "content", "output", "answer", "completion") if name in response
    ]
    if len(texts) != 1:
        raise Unusable("unranked")
    return texts[0]


def answer_text(value: Any) -> Any:
    """The answer of a table: a text, or SQuAD's `{"text": [...], "answer_start": [...]}`, whose texts may be one."""
    texts = value.get("text") if isinstance(value, dict) else value
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        different = list(dict.fromkeys(texts))
        if len(different) > 1:
            raise Unusable("several_texts")
        return different[0]
    return texts


def choice(candidates: Sequence[str]) -> str:
    """The sentence that asks which of several ways of reading is meant."""
    return (
        f"The columns can be read in more than one way; in section clean of {PATHS.params} write one of these: "
        f"{'; or '.join(candidates)}."
    )
