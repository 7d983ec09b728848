"""A tokenizer whose file lets texts grow, or whose patterns search for ever, is refused before a row is read."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.base.ready import check
from tasks.core.errors import ModelError
from tasks.models import tokenizer_bounds
from tasks.models.loading import load_tokenizer
from tasks.models.tokenizer_bounds import check_file
from tasks.template.encode import Encoder
from tests.tasks import tiny

Step = dict[str, Any]


def replace(pattern: str, content: str, kind: str = "String") -> Step:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(pattern: str) -> Step:
    return {"type": "Split", "pattern": {"Regex": pattern}}


def prepend(text: str) -> Step:
    return {"type": "Prepend", "prepend": text}


def charsmap(longest: int) -> Step:
    """A table of sentencepiece that puts in texts of one and of `longest` characters."""
    table = bytes(4) + b"a\0" + "\u00e9".encode() * longest + b"\0"
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.tokenizer().save_pretrained(tmp_path)
    return tmp_path


def change(folder: Path, file: str = "tokenizer.json", **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def normalized(folder: Path, *steps: Step) -> None:
    change(folder, normalizer={"type": "Sequence", "normalizers": list(steps)})


@pytest.mark.parametrize(
    ("steps", "most"),
    [
        ([replace("e", "x" * 21)], "21"),
        ([replace("docker", "x" * 240)], "40"),
        ([replace("e", "f" * 5), replace("f", "g" * 5)], "25"),
        ([replace(".", "x" * 30, "Regex")], "30"),
        ([replace("(?=e)", "x" * 30, "Regex")], "31"),
        ([replace("e*", "x" * 30, "Regex")], "31"),
        ([replace("", "x" * 30)], "31"),
        ([prepend("x" * 10), prepend("x" * 10)], "21"),
        ([prepend("x" * 5), replace("x", "y" * 4)], "24"),
        ([charsmap(18 * 21)], "21"),
        ([{"type": "Sequence", "normalizers": [replace("e", "x" * 21)]}], "21"),
    ],
)
def test_a_normalizer_that_lets_a_text_grow_is_refused(folder: Path, steps: list[Step], most: str) -> None:
    normalized(folder, *steps)
    with pytest.raises(ModelError, match=rf"tokenizer\.json: the normalizer makes up to {most} characters out of one"):
        load_tokenizer(folder)


def test_a_base_with_such_a_tokenizer_is_refused_before_anything_runs(folder: Path) -> None:
    """`temper check` asks so, and the stage base."""
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    check(folder, "model")
    normalized(folder, replace("e", "x" * 21))
    with pytest.raises(ModelError, match="the normalizer makes up to 21 characters out of one"):
        check(folder, "model")


def test_what_tokenizers_usually_do_is_read(folder: Path) -> None:
    usual = [prepend("\u2581"), replace(" ", "\u2581"), replace(" {2,}", "\u2581", "Regex"), replace("``", '"')]
    normalized(folder, {"type": "NFKC"}, {"type": "Lowercase"}, *usual, *[replace("^\\s+", "", "Regex")] * 9)
    assert check_file(folder) == [" ", " {2,}", "^\\s+", "``"]
    assert load_tokenizer(folder)("Docker")["input_ids"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"decoder": replace("e", "e" * 30)}, "the decoder makes up to 30 characters out of one"),
        (
            {
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"Regex": "(a+)+b"},
                    "behavior": "Isolated",
                    "invert": False,
                }
            },
            "cannot read texts .*retry-limit",
        ),
        ({"normalizer": replace("(a|aa)+$", "x", "Regex")}, "cannot read texts .*retry-limit"),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 65,
                    "pair": [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"],
                    "special_tokens": {},
                }
            },
            "it turns one letter into 65 tokens",
        ),
        (
            {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}},
            r"cannot read texts .*Missing \[UNK\]",
        ),
        ({"model": {"type": "WordPiece", "vocab": {}, "max_input_chars_per_word": 1001}}, "= 1001, more than 1,000"),
        ({"model": {"type": "BPE", "end_of_word_suffix": "x" * 65}}, "model.end_of_word_suffix has 65 characters"),
        ({"normalizer": {"type": "Nope"}}, "can be loaded"),
    ],
)
def test_a_tokenizer_that_cannot_read_texts_is_refused(folder: Path, values: dict[str, Any], reason: str) -> None:
    change(folder, **values)
    with pytest.raises(ModelError, match=reason):
        load_tokenizer(folder)


def test_a_class_that_the_file_is_not_of_is_named(folder: Path) -> None:
    change(folder, "tokenizer_config.json", tokenizer_class="BertTokenizer")
    with pytest.raises(ModelError, match=r"loaded as a BertTokenizer, cannot .*\[UNK\].*tokenizer_config\.json"):
        load_tokenizer(folder)


def test_the_same_files_are_tried_once_and_other_ones_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    monkeypatch.setattr(tokenizer_bounds, "_tried", set())
    monkeypatch.setattr(tokenizer_bounds, "in_child", lambda work, seconds, refuse: tried.append(seconds))
    load_tokenizer(folder)
    load_tokenizer(shutil.copytree(folder, folder / "again"))
    assert len(tried) == 1
    change(folder, "tokenizer_config.json", pad_token="<|im_start|>")
    load_tokenizer(folder)
    assert len(tried) == 2
    monkeypatch.undo()
    change(folder, normalizer=replace("(a|aa)+$", "x", "Regex"))
    for _ in range(2):
        with pytest.raises(ModelError, match="cannot read texts"):
            load_tokenizer(folder)


def test_padding_and_truncation_of_the_file_are_not_its_texts(folder: Path) -> None:
    change(
        folder,
        padding={
            "strategy": {"Fixed": 10**10}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "x",
        },
    )  # fmt: skip
    assert len(load_tokenizer(folder)("a")["input_ids"]) == 1


def test_a_row_on_which_it_breaks_is_a_sentence(folder: Path) -> None:
    """A pattern that only texts with its own kind of letters let search for ever."""
    normalized(folder, replace(r"(\p{Greek}+)+!", "x", "Regex"))
    encoder = Encoder(load_tokenizer(folder))
    with pytest.raises(ModelError, match=r"the tokenizer fails on a text .*retry-limit"):
        encoder.encode(["\u03b1" * 60 + "?!"])
