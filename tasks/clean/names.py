"""What the name of a column, or of a key of a turn, suggests that it holds, where nothing reads it."""

import re
from functools import cache
from typing import Any, Literal

from tasks.clean.flags import as_flag, as_number
from tasks.clean.switches import MASKED, TRAINED, UNCLEAR, WEIGHTS

Kind = Literal["answer", "prompt", "switch", "image", "audio", "video"]
"""What a key seems to hold."""

_ANSWERS = frozenset(
    {
        "answer", "answers", "output", "outputs", "response", "responses", "completion", "completions",
        "chosen", "rejected", "reply", "replies", "solution", "solutions", "target", "targets", "label",
        "labels", "generation", "generations", "truth", "groundtruth", "rationale", "rationales", "reasoning",
        "cot", "thinking", "thought", "thoughts",
    }
)  # fmt: skip
"""Last words of names of what is answered, and of what is thought for it."""

_OF_TEXTS = frozenset(
    {
        "class", "category", "intent", "intents", "sentiment", "emotion", "emotions", "stance", "summary",
        "summaries", "highlights", "translation", "translations", "paraphrase",
    }
)  # fmt: skip
"""The same where the row is taken for raw text: names of what classifiers and translators learn."""

_PROMPTS = frozenset(
    {
        "system", "system_prompt", "context", "input", "inputs", "instruction", "instructions", "prompt",
        "question", "questions", "query", "history", "persona", "documents", "passage",
    }
)  # fmt: skip
"""Names of parts of a prompt."""

_MODALITIES: dict[str, Kind] = {
    **dict.fromkeys(("image", "images", "img", "picture", "pictures", "photo", "photos"), "image"),
    **dict.fromkeys(("audio", "audios"), "audio"),
    **dict.fromkeys(("video", "videos"), "video"),
}
_HOLDERS = frozenset(
    {"path", "paths", "url", "urls", "uri", "file", "files", "filename", "bytes", "data", "list", "base64", "b64"}
)  # fmt: skip
"""Words behind which a name still is the thing itself: `image_url`."""

_MEASURES = frozenset(
    {
        "num", "n", "number", "count", "has", "is", "score", "scores", "rating", "ratings", "reward", "rewards",
        "margin", "rank", "logp", "logps", "logprob", "logprobs", "length", "len", "model",
        "max", "min", "total", "avg", "mean",
    }
)  # fmt: skip
"""Words in names of what is measured of an answer: `score_chosen`, `num_outputs`, `is_solution`."""

_SWITCHES = TRAINED | MASKED | UNCLEAR | frozenset(WEIGHTS) | {"sample_weight", "mask_history", "train_on_inputs"}
_NO_WORDS = frozenset({"text", "name", "string", "str", "value", "content"})
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def kind_of(name: str, value: Any, shape: str) -> Kind | None:
    """What an unread key of a row of this shape seems to hold; None for what may stand aside, and for no value.

    >>> kind_of("final_answer", "42", "messages"), kind_of("answer_length", 2, "messages"), kind_of("label", 3, "text")
    ('answer', None, 'answer')
    """
    if is_empty(value):
        return None
    kind = _by_name(name, shape == "text")
    if kind == "switch" and not _switches(value) and "weight" not in name.lower():
        return None
    return None if kind == "prompt" and not isinstance(value, str | list | dict) else kind


def modality_of(name: str) -> Kind | None:
    """What no text can hold, as the name suggests: a picture, a sound, a film; None for all other names."""
    kind = _by_name(name, False)
    return kind if kind in ("image", "audio", "video") else None


def is_empty(value: Any) -> bool:
    """Whether there is nothing in it: null, blank text, or a list or object of nothing else."""
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_empty, value))
    return value is None or (isinstance(value, str) and not value.strip())


@cache
def _by_name(name: str, of_text: bool) -> Kind | None:
    words = [word.lower() for word in _WORD.findall(name)]
    whole = "_".join(words)
    if whole in _SWITCHES:
        return "switch"
    while len(words) > 1 and (words[-1] in _NO_WORDS or words[-1].isdigit() or len(words[-1]) == 1):
        words.pop()  # `label_text`, `response_b` and `output_2` are a label, a response and an output
    if not words:
        return None
    for at, word in enumerate(words):
        if word in _MODALITIES and _HOLDERS.issuperset(words[at + 1 :]):
            return _MODALITIES[word]
    if not _MEASURES.isdisjoint(words):
        return None
    if words[-1] in _ANSWERS or words[-2:] == ["label", "id"] or (of_text and words[-1] in _OF_TEXTS):
        return "answer"
    if whole in _PROMPTS or words[-1] in _PROMPTS:
        return "answer" if of_text else "prompt"
    return None


def _switches(value: Any) -> bool:
    """Whether a value can switch: on or off, a weight, such a list, or the name of a role; not the loss of a model."""
    if isinstance(value, list):
        return all(map(_switches, value))
    return as_flag(value) is not None or (isinstance(value, str) and as_number(value) is None)
