"""A base trained on a project's own texts: which documents are read, what is refused, and what comes out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.base import pretrain, texts
from tasks.base import stage as base
from tasks.core.errors import InputError, SettingsError, TemperError
from tasks.core.paths import Paths
from tasks.models.loading import load_model, load_tokenizer
from tasks.training.packs import Packs, StackedCollator
from tests.tasks import tiny
from tests.tasks.train.test_train import kill_and_continue

SHAPE = {"vocabulary": 300, "hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2, "context": 32}
FEW = {"steps": 3, "batch_size": 2, "warmup_steps": 1, "threads": 1, "dtype": "float32", "logging_steps": 1,
       "checkpoint_steps": 2, "optimizer": "adamw_torch"}  # fmt: skip


def settings(text: str = "data/texts", **more: Any) -> base.Settings:
    return base.Settings.model_validate({"text": text, "architecture": SHAPE, "pretraining": FEW, **more})


def put(paths: Paths, **files: str | bytes) -> None:
    for name, content in files.items():
        path = paths.texts / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


PROSE = (
    "the cat sat on the mat and the other cat sat on the other mat while the rain ran down the window pane "
    "of an old house by the river\n" * 8
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    put(paths, README_md="not a document")
    return paths


def test_text_files_and_rows_are_documents_in_the_order_of_names(paths: Paths) -> None:
    rows = '{"text": "row one"}\n\n{"text": "row\\ntwo", "id": 3}\n{"text": " "}\r\n'
    put(paths, b_md="# B", a__deep_TXT="\ufeffdeep", c_jsonl=rows, d_txt="", notes="no ending", _hidden="no")
    put(paths, big_dvc="outs: []", z__README_md="a document")
    corpus = texts.read(settings(), paths)
    assert corpus.documents == ["deep", "# B", "row one", "row\ntwo", "no ending", "a document"]
    assert corpus.empty == 2
    assert corpus.files["c.jsonl"] == {"documents": 2, "characters": 14}
    assert corpus.files["d.txt"] == {"documents": 0, "characters": 0}
    assert texts.read(settings("data/texts/z"), paths).documents == ["a document"]
    assert texts.read(settings("./data/texts/z/"), paths).fingerprint != corpus.fingerprint


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a_txt", b"caf\xe9", r"a\.txt: not UTF-8 \(byte 0xe9 at 3\); convert it"),
        ("a_txt", "text".encode("utf-16"), r"a\.txt: this is UTF-16; convert it to UTF-8"),
        ("a_txt", b"one\0two", r"a\.txt: not a text file: it has NUL characters, the first at 3"),
        ("a_png", b"\x89PNG\r\n\x1a\n", r"a\.png: not UTF-8 \(byte 0x89 at 0\)"),
        ("a_jsonl", '{"text": "x"}\n{"text": 3}', r"a\.jsonl:2: expected a JSON object with a text under the key text"),
        ("a_jsonl", '["x"]', r"a\.jsonl:1: expected a JSON object with a text"),
        ("a_jsonl", '{"text": "x"', r"a\.jsonl:1: not valid JSON"),
        ("a_jsonl", "[" * 100_000, r"a\.jsonl:1: not valid JSON"),
        ("a_jsonl", '{"text": "\\ud83d"}', r"a\.jsonl:1: the text has an unpaired surrogate"),
        ("a_jsonl", '{"text": "\\u0000"}', r"a\.jsonl:1: the text has a NUL"),
        ("a_txt", " \n", r"base\.text = data/texts: no text in 1 file; put text files there"),
        (
            "a_txt",
            "too little",
            r"the text gives a vocabulary of only 26\d tokens, not 300; add text, or set",
        ),
    ],
)
def test_what_is_no_text_is_refused_by_check_and_stage(
    paths: Paths, name: str, content: str | bytes, message: str
) -> None:
    put(paths, **{name: content})
    for step in (base.validate, base.run):
        with pytest.raises(InputError, match=message):
            step(settings(), paths)
    assert not paths.base.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data/own", "expected data/texts or a folder in it"),
        ("/etc", "expected data/texts or a folder in it"),
        ("data/texts/../own", "expected data/texts or a folder in it"),
        ("data/texts/none", "no such folder; put the texts there"),
        ("data/texts/README.md", "this is a file; name the folder that contains it"),
    ],
)
def test_a_folder_elsewhere_is_refused(paths: Paths, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        base.validate(settings(text), paths)


def test_an_empty_folder_and_links_that_lead_out_are_refused(paths: Paths, tmp_path_factory: Any) -> None:
    with pytest.raises(InputError, match="no text in 0 files"):
        base.validate(settings(), paths)
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.txt").write_text(PROSE)
    for target, message in (
        (outside / "a.txt", "outside the project; put a copy there"),
        (outside, "outside the project; put a copy there"),
        (paths.root / "none", "this link cannot be followed"),
        (paths.root / "data", "a link to a folder is not followed"),
    ):
        link = paths.texts / "link"
        link.symlink_to(target)
        with pytest.raises(InputError, match=message):
            base.validate(settings(), paths)
        link.unlink()
    (paths.texts / "room").symlink_to(outside)
    with pytest.raises(InputError, match="outside the project"):
        base.validate(settings("data/texts/room"), paths)
    (paths.texts / "room").unlink()
    os.mkfifo(paths.texts / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        base.validate(settings(), paths)


def test_text_beside_another_base_is_refused(paths: Paths) -> None:
    for more, message in (
        ({"hub": "a/b@" + "0" * 40}, "hub names an existing model, but"),
        ({"rope": {"factor": 2}}, "rope extends an existing model"),
        ({"pretraining": {**FEW, "group_by_length": True}}, "group_by_length has no effect on text"),
        ({"text": " "}, "expected a path, but this is empty"),
    ):
        with pytest.raises(ValidationError, match=message):
            settings(**more)
    put(paths, a_txt=PROSE)
    tiny.model(paths.root / "model", vocabulary=300)
    with pytest.raises(SettingsError, match=r"base\.folder = model is a model, but base\.text trains a new one"):
        base.validate(settings(folder="model"), paths)


def test_documents_become_packs_without_loss_and_apart(paths: Paths) -> None:
    documents = [PROSE, "a cat", "<|im_end|> is text here", "x" * 200]
    tokenizer = pretrain.train_tokenizer(documents, settings().architecture)
    rows, tokens = pretrain.packs_of(tokenizer, documents, 32)
    start, stop = tokenizer.convert_tokens_to_ids([pretrain.START, pretrain.STOP])
    packs = [Packs(rows)[number] for number in range(len(Packs(rows)))]
    assert max(len(pack["input_ids"]) for pack in packs) <= 32
    assert (
        tokens
        == sum(len(pack["input_ids"]) for pack in packs)
        == len(rows.data.column("labels").combine_chunks().flatten())
    )
    ids = [token for pack in packs for token in pack["input_ids"].tolist()]
    assert (ids.count(start), ids.count(stop)) == (4, 4)  # a control token in a text is no control token
    texts_again = sorted(tokenizer.decode(row, clean_up_tokenization_spaces=False) for row in rows["input_ids"])
    wanted = {f"{pretrain.START}{document}{pretrain.STOP}" for document in documents[1:3]}
    assert wanted <= set(texts_again)
    assert "".join(sorted("".join(texts_again))) == "".join(
        sorted("".join(f"{pretrain.START}{document}{pretrain.STOP}" for document in documents))
    )
    model = pretrain._model(settings().architecture, tokenizer).eval()
    pack = max(packs, key=lambda one: len(one["seq_lengths"]))
    assert len(pack["seq_lengths"]) > 1
    batch = StackedCollator()([pack])
    together, at = model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits[0], 0
    for length in pack["seq_lengths"]:
        alone = model(batch["input_ids"][:, at : at + length], use_cache=False).logits[0]
        assert (together[at : at + length] - alone).abs().max() < 1e-5
        at += length


def test_a_base_of_texts_is_complete_and_the_same_after_a_kill(paths: Paths) -> None:
    put(paths, a_txt=PROSE, b_md="# A cat\n\nsat.", c_txt="")
    base.validate(settings(), paths)
    base.run(settings(), paths)
    record = json.loads((paths.base / "base.json").read_text())
    assert (record["kind"], record["from"], record["location"]) == ("trained", "data/texts", "model")
    ledger = json.loads((paths.base / "pretraining" / "ledger.json").read_text())
    assert (ledger["unit"], ledger["in"], ledger["out"], ledger["left"]) == (
        "documents",
        3,
        {"trained": 2},
        {"empty": 1},
    )
    assert (ledger["vocabulary"], set(ledger["files"])) == (300, {"a.txt", "b.md", "c.txt"})
    assert json.loads((paths.base / "pretraining" / "training.json").read_text())["tokens"] == ledger["tokens"]
    model, tokenizer = load_model(paths.base / "model"), load_tokenizer(paths.base / "model")
    assert model.config.max_position_embeddings == 32
    assert tokenizer.decode(tokenizer("the cat")["input_ids"]) == "the cat"
    first = tiny.contents(paths.base)
    kill_and_continue(lambda: base.run(settings(), paths), 2)
    assert tiny.contents(paths.base) == first


def test_every_refusal_is_one_of_the_houses(paths: Paths) -> None:
    put(paths, a_txt=b"\xff")
    with pytest.raises(TemperError):
        base.run(settings(), paths)
