"""What a check says of the first rows: word for word what clean and template say of all of them, before they run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tasks.core.paths import Paths
from tasks.rehearsal import rows
from tasks.stages import names, needed
from tests.tasks import tiny

REACH = "decide: "
"""How the remark begins that every check makes: how many test rows there are (see `test_reach`)."""

Said = tuple[list[str], list[str]]

REFUSING = (
    f"{{%- if 'nine' in messages[0]['content'] -%}}{{{{ raise_exception('No nine') }}}}{{%- endif -%}}{tiny.CHATML}"
)


def turns(*texts: str, roles: tuple[str, ...] = ("user", "assistant")) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]}


GOOD = [turns(f"start {name}", f"docker start {name}") for name in "abcdefghijkl"]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Errors and remarks of data beside a base with 64 tokens of context."""
    monkeypatch.chdir(tmp_path)
    coder = tiny.tokenizer()
    coder.save_pretrained(tiny.model(tmp_path / "model", vocabulary=len(coder)))
    config = json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))

    def said(data: list[dict[str, Any]], stages: list[str] | None = None, **sections: dict[str, Any]) -> Said:
        Path("mine.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in data))
        values: dict[str, Any] = {name: sections.get(name, {}) for name in names()}
        values["base"] = {"folder": "model"}
        values["clean"] = {"input": "mine.jsonl", "test_share": 0.2, "validation_share": 0.0} | values["clean"]
        Path("params.yaml").write_text(json.dumps(values))
        errors, remarks = rows.look(needed(stages or []), Paths())
        assert not Path("data").exists()
        return [str(error) for error in errors], [remark for remark in remarks if not remark.startswith(REACH)]

    return said


def train_row(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"split": "train"}


def test_rows_in_order_are_nothing_to_speak_of(check: Callable[..., Said]) -> None:
    assert check(GOOD) == ([], [])


def test_held_out_rows_that_limit_what_a_run_can_show_are_named(check: Callable[..., Said]) -> None:
    twice = [{**turns("stop a", answer), "split": "test"} for answer in ("docker stop a", "docker kill a")]
    few = [{**row, "split": "validation"} for row in GOOD[:4]]
    errors, (conflicts, validation) = check([*GOOD[4:], *twice, *few])
    assert errors == []
    assert conflicts.startswith("clean: 2 test rows share a request with another test row and differ in the rest")
    assert validation.startswith("clean: only 4 validation rows: ") and "raise clean.validation_share" in validation
    assert check([*GOOD[4:], *few], ["clean"]) == ([], []), "nothing is trained"
    enough = [{**turns(f"halt {number}", "docker stop"), "split": "validation"} for number in range(20)]
    assert check([*GOOD, *enough]) == ([], [])


def test_too_long_names_the_limit_that_stops_it(check: Callable[..., Said]) -> None:
    long = train_row(turns("please wipe every volume of queue number nine " * 4, "docker volume prune"))
    (error,), _ = check([*GOOD, long])
    assert "1 of " in error
    assert "longer than 64 tokens, the context of the base (longest: " in error
    (error,), _ = check([*GOOD, long], template={"max_length": 40})
    assert "longer than 40 tokens, template.max_length (longest: " in error
    assert "Raise it, to 64 at most" in error
    settings = json.loads(Path("model/tokenizer_config.json").read_text())
    Path("model/tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 48}))
    (error,), _ = check([*GOOD, long])
    assert "longer than 48 tokens, model_max_length of its tokenizer" in error
    assert check([*GOOD, long], template={"over_length": "drop", "max_loss": 0.5})[0] == []
    assert check([*GOOD, long], ["clean"]) == ([], [])  # which does not count tokens


def test_characters_that_are_unknown_are_named(check: Callable[..., Said]) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    texts = (turn["content"] for row in GOOD for turn in row["messages"])
    specials = ["<unk>", "<|im_start|>", "<|im_end|>"]
    alphabet = [*"abcdefghijklmnopqrstuvwxyz\n"]
    backend.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=300, special_tokens=specials, initial_alphabet=alphabet)
    )
    coder = AutoTokenizer.from_pretrained("model")
    type(coder)(
        tokenizer_object=backend, eos_token="<|im_end|>", unk_token="<unk>", chat_template=tiny.CHATML,
        additional_special_tokens=["<|im_start|>"],
    ).save_pretrained("model")  # fmt: skip
    (error,), _ = check([*GOOD, train_row(turns("wipe the volume größe at once", "docker volume rm größe"))])
    assert "unknown: the tokenizer cannot represent all of the text" in error
    assert "'ö' (U+00F6), 'ß' (U+00DF)" in error


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"weights": 3, "colour": "red"}, "unknown_shape 12"),
        (turns("start a", roles=("user",)), "no_answer 12"),
    ],
)
def test_rows_that_cannot_be_used(check: Callable[..., Said], bad: dict[str, Any], message: str) -> None:
    (error,), _ = check([*GOOD, *({**bad, "id": number} for number in range(12))])
    assert error.startswith("clean: 12 of 24 rows (50.0%) would be left out")
    assert message in error


def test_a_template_that_refuses_a_dialogue(check: Callable[..., Said]) -> None:
    Path("model/chat_template.jinja").write_text(REFUSING)
    (error,), _ = check([*GOOD, train_row(turns("wipe the volume nine", "docker volume rm nine"))])
    assert "unrenderable" in error
    assert "No nine" in error


def test_roles_that_do_not_alternate_are_remarked(check: Callable[..., Said]) -> None:
    row = turns("Hello there.", "wipe the volume nine", "docker volume rm nine", roles=("user", "user", "assistant"))
    remark = "clean: 1 of 13 rows would be left out (role_order 1); clean.max_loss = 0.2 allows that."
    assert check([*GOOD, row]) == ([], [remark])


def test_rows_of_another_kind_than_the_objective_learns_from(check: Callable[..., Said]) -> None:
    pairs = [{"prompt": f"start {name}", "chosen": f"docker start {name}", "rejected": "no"} for name in "abcdefghijkl"]
    assert any("no token has a loss" in error for error in check(pairs)[0])
    off = {"steps": None, "enabled": False}
    assert check(pairs, train=off | {"steps": 3}, align={"objective": "dpo"})[0] == []
    (error,), _ = check(GOOD, align={"objective": "dpo"})
    assert "no row has pairs, but align.objective dpo learns from" in error


def test_answers_that_are_no_classes(check: Callable[..., Said]) -> None:
    metrics = {"metrics": [{"kind": "classification"}]}
    rows_of_text = [turns(f"start {name}", f"docker start {name}") for name in "abcdefghijklmnopqrstuvwxyz"]
    (error,), _ = check(rows_of_text, evaluate=metrics)
    assert "26 occur in only one row" in error
    assert check(rows_of_text, ["clean"], evaluate=metrics)[0] == []


def test_a_share_of_the_first_rows_alone_refuses_nothing(
    check: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS", 18)
    monkeypatch.setattr(rows, "FEWEST", 18)
    bad = [turns(f"stop {name}", roles=("user",)) for name in "abcdefgh"]
    errors, (remark,) = check([*bad, *({**row, "split": "test"} for row in GOOD[:3]), *GOOD[3:]])
    assert errors == []
    assert remark.startswith("clean: 8 of the first 18 rows of 1 file would be left out (no_answer 8)")


def test_rows_that_are_not_there_yet_are_not_looked_at(check: Callable[..., Said]) -> None:
    assert check([], clean={"input": "data/generated"}) == ([], [])
    assert check([], clean={"input": "gone.jsonl"}) == ([], [])


def test_a_stage_needs_those_before_it_and_no_others() -> None:
    assert needed(["template"]) == {"base", "generate", "clean", "template"}
    assert needed(["quantize@nf4"]) == {
        "base", "generate", "clean", "template", "train", "distill", "align", "merge", "quantize"
    }  # fmt: skip
    assert needed(["evaluate-base"]) == {"base", "generate", "clean", "template", "evaluate"}
    assert needed([]) == needed(["a-stage-of-ones-own"]) == set(names())


def classed(split: str, *answers: str) -> list[dict[str, Any]]:
    """A row of `split` for each answer, with questions that are not alike."""
    words = ("river", "lantern", "orchard", "violin", "harbour", "meadow", "candle", "window", "thunder", "pepper")
    return [
        turns(f"{words[number]} {split} {words[-number]}", answer) | {"split": split}
        for number, answer in enumerate(answers)
    ]


LABELLED = classed("train", "up", "down", "up", "down", "up", "down")


@pytest.mark.parametrize(
    ("more", "settings", "says"),
    [
        (classed("test", "up", "down"), {}, None),
        (classed("test", "up", "left"), {}, "no training row has the answer 'left' of 1 row of the test"),
        (
            classed("validation", "left") + classed("test", "up"),
            {},
            "no training row has the answer 'left' of 1 row of validation",
        ),
        (classed("test", "up"), {"class_weights": {"left": 2}}, "train.class_weights names 'left'"),
        (classed("test", "up"), {"classes": ["up", "down", "left"]}, "train.classes lists 'left'"),
    ],
)
def test_classes_that_no_training_row_has(
    check: Callable[..., Said], more: list[dict[str, Any]], settings: dict[str, Any], says: str | None
) -> None:
    errors, _ = check(LABELLED + more, train={"objective": "classify", **settings})
    if says is None:
        assert errors == []
    else:
        assert says in errors[0]
    errors, remarks = check(LABELLED + more)
    assert errors == [] and not [
        remark for remark in remarks if "validation rows" not in remark.replace("row:", "rows")
    ]


LISTED = classed("train", '["up"]', '["up", "hot"]', "[]", '["hot"]', '["up"]', "[]")


@pytest.mark.parametrize(
    ("more", "labels", "says"),
    [
        (classed("test", '["up"]', "[]"), "several", None),
        (classed("test", '["left"]'), "several", "no training row has the answer 'left' of 1 row of the test"),
        (classed("test", "up"), "several", "the answer of 1 row of the test is not a JSON list"),
        (classed("validation", '["up", "up"]') + classed("test", "[]"), "several", "has a class twice"),
        (classed("test", "[]"), "one", "the answer of 6 rows of train is a list of classes"),
    ],
)
def test_lists_of_classes(
    check: Callable[..., Said], more: list[dict[str, Any]], labels: str, says: str | None
) -> None:
    errors, _ = check(LISTED + more, train={"objective": "classify", "labels": labels})
    assert errors == [] if says is None else says in errors[0]


@pytest.mark.parametrize(
    ("data", "labels", "named"),
    [
        (LABELLED + classed("test", "up"), "one", "down"),
        (LISTED + classed("test", '["hot"]', "[]"), "several", "up"),
        (LABELLED + classed("test", "up", "down"), "one", None),
    ],
)
def test_a_class_without_a_test_row_is_remarked(
    check: Callable[..., Said], data: list[dict[str, Any]], labels: str, named: str | None
) -> None:
    errors, remarks = check(data, train={"objective": "classify", "labels": labels})
    assert errors == []
    if named is None:
        assert remarks == []
    else:
        assert remarks == [
            f"train.objective classify: No test row has the class {named}, of 2 that are learned: nothing is known of "
            "how well it is predicted. Add such rows to the test split."
        ]


@pytest.mark.parametrize("wrong", [3, 12])
def test_flags_that_are_neither_0_nor_1(check: Callable[..., Said], wrong: int) -> None:
    data = [
        {"body": f"{name} is late", "late": 2 if at < wrong else 1, "odd": 0} for at, name in enumerate("abcdefghijkl")
    ]
    columns = {"columns": {"question": "body", "classes": ["late", "odd"]}, "max_loss": 0.1}
    (error,), _ = check(data, clean=columns)
    assert "In rows with bad_classes, a value in the columns of clean.columns.classes is not a class name" in error


def test_answers_that_are_texts_are_no_classes(check: Callable[..., Said]) -> None:
    errors, _ = check(GOOD, train={"objective": "classify"})
    assert "different answers in" in errors[0]


@pytest.mark.parametrize(
    ("metric", "expected"), [("exact_match", ["each of 4 rows is a text or an answer rated bad"]), ("perplexity", [])]
)
def test_texts_are_asked_by_their_likelihood_alone(
    check: Callable[..., Said], metric: str, expected: list[str]
) -> None:
    pages = [{"text": f"A page on {name}, which starts and stops."} for name in "abcdefghijkl"]
    errors, _ = check(pages, template={"chat_template": "plain"}, evaluate={"metrics": [{"kind": metric}]})
    assert len(errors) == len(expected)
    assert all(part in error and error.startswith("data/") for part, error in zip(expected, errors, strict=True))
