"""Answers taken as classes: which, in what order, with what weight; and rows that have none."""

import re
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.train.classes import class_weights, labelled_rows, learned
from tasks.train.settings import Settings
from tasks.training.rows import load
from tests.tasks import sorted_commands, tiny


def settings(**values: Any) -> Settings:
    return Settings.model_validate({"objective": "classify", **values})


def rows(*pairs: tuple[str, str]) -> Any:
    """Rows of the questions and answers as the stage template makes them: the answer and its end are trained."""
    tokenizer, table = tiny.tokenizer(), []
    for question, answer in pairs:
        asked = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        parts = (prompt, f"{answer}<|im_end|>", "\n")
        before, trained, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in parts)
        labels = [-100] * len(before) + trained + [-100] * len(after)
        table.append({"input_ids": before + trained + after, "labels": labels})
    return Dataset.from_list(table) if table else []


GOOD = (("start web", "up"), ("stop web", "down"), ("start db", "up"), ("run db", "up"))


def test_a_row_is_its_prompt_and_the_number_of_its_class() -> None:
    train, validation = labelled_rows(settings(), rows(*GOOD), rows(("stop db", " down ")), tiny.tokenizer())
    assert train.classes == ["down", "up"]
    assert train.numbers == [(1,), (0,), (1,), (1,)]
    assert validation is not None
    assert validation.numbers == [(0,)]
    assert (
        tiny.tokenizer().decode(train[1]["input_ids"])
        == "<|im_start|>user\nstop web<|im_end|>\n<|im_start|>assistant\n"
    )
    assert train.counts()["rows"] == 4
    assert train.longest == max(range(4), key=lambda row: len(train[row]["input_ids"]))


def test_classes_stand_in_the_order_in_which_they_are_listed() -> None:
    train, nothing = labelled_rows(settings(classes=["up", "down"]), rows(*GOOD), rows(), tiny.tokenizer())
    assert train.classes == ["up", "down"]
    assert train.numbers == [(0,), (1,), (0,), (0,)]
    assert nothing is None


def test_reasoning_is_no_part_of_a_class() -> None:
    train, _ = labelled_rows(
        settings(), rows(*GOOD, ("halt", "<think>\nno more\n</think>\n\ndown")), rows(), tiny.tokenizer()
    )
    assert train.classes == ["down", "up"]


def test_weights() -> None:
    train, _ = labelled_rows(settings(), rows(*GOOD), rows(), tiny.tokenizer())
    assert class_weights(settings(), train) == [1, 1]
    balanced = class_weights(settings(class_weights="balanced"), train)
    assert balanced == [pytest.approx(4 / (2 * 1)), pytest.approx(4 / (2 * 3))]
    assert class_weights(settings(class_weights={"up": 0.5}), train) == [1, 0.5]


@pytest.mark.parametrize(
    ("values", "answers", "says"),
    [
        ({}, ["up"] * 4, "all 4 training rows have the answer 'up'"),
        ({}, ["a", "b", "c", "c", "d"], "4 different answers in 5 training rows"),
        ({}, ["up", "Up", "up", "Up", "no", "no"], "'Up', 'up' differ only in case"),
        ({}, ["up", "", "up", "no"], "empty answer"),
        ({"classes": ["up", "no"]}, ["up", "no", "maybe", "up"], "does not list the answer 'maybe' of 1 row of train"),
        ({"classes": ["up", "no", "so"]}, ["up", "no"] * 4, "lists 'so', but no training row has such an answer"),
    ],
)
def test_answers_that_are_no_classes(values: dict[str, Any], answers: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        learned(settings(**values), [(answer,) for answer in answers])


def test_a_weight_of_no_class() -> None:
    with pytest.raises(SettingsError, match="names 'upp', which is not a class of the training rows"):
        learned(settings(class_weights={"upp": 2}), [("up",), ("no",)] * 2)


def test_a_class_of_validation_alone_and_a_row_without_an_answer() -> None:
    with pytest.raises(InputError, match="no training row has the answer 'left' of 1 row of validation"):
        labelled_rows(settings(), rows(*GOOD), rows(("turn", "left")), tiny.tokenizer())
    text = {"input_ids": [5, 6], "labels": [5, 6]}
    with pytest.raises(InputError, match=r"train\.arrow: 1 row of train have no answer"):
        labelled_rows(settings(), Dataset.from_list([*rows(*GOOD), text]), rows(), tiny.tokenizer())


@pytest.mark.parametrize("answer", ["<|im_end|>", "up <|im_start|>"])
def test_a_class_that_is_called_like_a_special_token(answer: str) -> None:
    parts = answer.partition("|>")
    ids = [id for part in parts for id in tiny.tokenizer()(part, add_special_tokens=False)["input_ids"]]
    assert not {*ids} & {*tiny.tokenizer().all_special_ids}, "its text, and not the token"
    spelt = Dataset.from_list([{"input_ids": [5, *ids, 2], "labels": [-100, *ids, 2]}])
    name = f"<{answer.partition('<')[2]}"
    with pytest.raises(InputError, match=rf"'{re.escape(name)}' stands in 1 answer of train, but it is a special"):
        labelled_rows(settings(), spelt, rows(), tiny.tokenizer())


def test_a_prompt_that_ends_in_what_fills_up_is_refused() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.pad_token = "\u010a"  # the line end, in which prompts end
    with pytest.raises(InputError, match="4 prompts end in"):
        labelled_rows(settings(), rows(*GOOD), rows(), tokenizer)


@pytest.mark.parametrize("chat_template", [None, "plain", "chatml"])
def test_the_prompt_is_the_one_that_evaluation_asks(chat_template: str | None, tmp_path: Path) -> None:
    from tasks.chat.renderer import Renderer
    from tasks.evaluate.questions import build_question
    from tasks.evaluate.questions import rows as asked
    from tasks.models.loading import load_tokenizer

    paths: Paths = sorted_commands.project(tmp_path)
    template.run(template.Settings(chat_template=chat_template), paths)
    tokenizer = load_tokenizer(paths.tokenizer)
    train, _ = labelled_rows(settings(), load(paths.tokens("train")), [], tokenizer)
    held, _ = asked(paths.rows("train"))
    questions = [build_question(row, [], Renderer(tokenizer), tokenizer, 256) for row in held]
    assert [train[index]["input_ids"] for index in range(len(train))] == [list(one.ids) for one in questions if one]
