"""Whether the answers of the first rows are classes: said before anything is trained."""

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.paths import Paths
from tasks.evaluate.settings import Settings
from tasks.rehearsal import classes
from tests.tasks import tiny

LABELS = [f"intent {letter}" for letter in "abcdefgh"]
FREE = [f"free text {number}" for number in range(60)]


def look(
    folder: Path, test: list[str], train: list[str], whole: bool = True, **metric: Any
) -> tuple[list[str], list[str]]:
    paths = Paths(folder)
    paths.clean.mkdir(parents=True, exist_ok=True)
    for split, answers in (("test", test), ("train", train)):
        chats = [
            [{"role": "user", "content": f"{split} {at}"}, {"role": "assistant", "content": answer}]
            for at, answer in enumerate(answers)
        ]
        pq.write_table(tiny.rows(split, chats), paths.rows(split))
    settings = Settings.model_validate({"metrics": [{"kind": "classification"} | metric]})
    errors, remarks = classes.look(settings, paths, whole)
    return [str(error) for error in errors], remarks


LACK = "1 of 4 test rows have the answer 'd', which the metric's choices lack"


@pytest.mark.parametrize(
    ("test", "train", "metric", "sentence"),
    [
        (LABELS * 3, LABELS * 9, {}, None),
        (LABELS, LABELS * 9, {}, None),
        (["intent a", "b", "c"], [*"bc", *LABELS], {}, None),  # hardly any rows: each may have a class of its own
        (LABELS * 3, FREE, {}, None),  # rows of another task are trained on as well
        (FREE[:30], FREE[30:], {}, "of 30 answers 30 occur in only one row, such as 'free text 0', so they are not"),
        (FREE[:3], FREE[3:], {}, "of 60 answers 60 occur in only one row"),
        ([*FREE[:20], "yes", "yes", "yes"], ["yes"] * 9, {}, "of 23 answers 20 occur in only one row"),
        ([str(number % 1001) for number in range(2002)], [], {}, "the test rows have 1,001 different answers"),
        (["Lost card", "top up"] * 4, ["lost card"], {}, "the answers 'Lost card' and 'lost card' differ only in case"),
        (["top_up", "b", "b"], ["top-up", "top up"], {}, "'top-up' and 'top_up' differ only in case, spaces"),
        (["up", "b", "b"], ["up\u200b", "\uff55\uff50"], {}, "characters that cannot be seen"),
        (["C", "C++", "C#"] * 3, [], {}, None),
        (["C", "c"] * 3, [], {"choices": ["C", "c"]}, None),
        (["a", "a"], ["a", "b"], {}, "the test rows all have the answer 'a', but one class"),
        (["a", "A."], ["b"], {"choices": ["a", "b"]}, "the test rows all have the answer 'a'"),
        (["a", "b", "c", "d"], [], {"choices": ["a", "b", "c"]}, LACK),
        (["a", "b"], [*"abcd"], {"choices": ["a", "b", "c"]}, "1 of 4 training rows have the answer 'd'"),
        (["a", "b"], FREE, {"choices": ["a", "b"]}, None),
        (['["a"]', '["a", "b"]', "[]"], ['["b"]'] * 9, {"kind": "multilabel"}, None),
        (["[]", '["a"]'], ['["a", "b"]'] * 9, {"kind": "multilabel"}, None),
        (["a", '["a"]'], [], {"kind": "multilabel"}, "the reference 'a' of the row .* is not a JSON list"),
        (["[]", "[]"], ['["a"]'], {"kind": "multilabel"}, "the test rows name 0 classes"),
        (['["Late"]', '["late"]'], [], {"kind": "multilabel"}, "the answers 'Late' and 'late' differ only in case"),
        (['["a"]'], ['["b"]', '["a", "d"]'], {"kind": "multilabel", "choices": ["a", "b"]}, "1 of 3 training .* 'd'"),
        (["a", "b"], [], {"kind": "multiple_choice", "choices": ["a", "c"]}, "'b' of the row .* not one of"),
        (["a", "b"], [], {"kind": "multiple_choice", "choices": ["a", "b"]}, None),
    ],
)  # fmt: skip
def test_what_is_said_of_answers(
    tmp_path: Path, test: list[str], train: list[str], metric: dict[str, Any], sentence: str | None
) -> None:
    errors, remarks = look(tmp_path, test, train, **metric)
    assert remarks == []
    if sentence is None:
        assert errors == []
    else:
        (error,) = errors
        assert re.search(sentence, error)


def test_one_class_in_the_first_rows_is_remarked(tmp_path: Path) -> None:
    """Rows may be sorted by their class."""
    errors, (remark,) = look(tmp_path, ["a"] * 3, ["a"] * 9, whole=False)
    assert errors == []
    assert "the first rows all have the answer 'a'" in remark


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (
            {"kind": "exact_match", "choices": ["a", "b"]},
            "choices belongs to multiple_choice, classification and multilabel",
        ),
        ({"kind": "classification", "choices": ["a"]}, "choices lists only 'a'; list at least two"),
        ({"kind": "classification", "choices": ["a b", "a  b"]}, "choices lists 'a b' twice, apart from whitespace"),
        ({"kind": "multiple_choice", "choices": ["a", " "]}, "a text in this list is empty"),
    ],
)
def test_choices_that_cannot_be_chosen_among(metric: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Settings.model_validate({"metrics": [metric]})
