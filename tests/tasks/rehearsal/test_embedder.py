"""What a check says of the base of an embedding model, and of its rows, before any stage has run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tasks.core.paths import Paths
from tasks.rehearsal import rows, run
from tasks.stages import names
from tests.tasks import paired, tiny

GOOD = [
    {"anchor": f"find {name}", "positive": f"docker start {name}", "split": "test" if number > 5 else "train"}
    for number, name in enumerate(tiny.NAMES)
]

EMBED: dict[str, dict[str, Any]] = {
    "train": {"objective": "embed"}, "template": {"embed": {}}, "evaluate": {"metrics": [{"kind": "retrieval"}]},
    "quantize": {"schemes": ["nf4"]},
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Settings of a project in the current folder; its base is to be put into `model`."""
    monkeypatch.chdir(tmp_path)

    def make(**sections: dict[str, Any]) -> Path:
        values = {name: {**EMBED.get(name, {}), **sections.get(name, {})} for name in names()}
        values["base"] = {"folder": "model"}
        Path("params.yaml").write_text(json.dumps(values))
        return tmp_path / "model"

    return make


def llama(folder: Path) -> None:
    coder = tiny.tokenizer()
    tiny.model(folder, vocabulary=len(coder))
    coder.save_pretrained(folder)


def refusals() -> list[str]:
    return [str(fault) for fault in run.faults()]


@pytest.mark.parametrize("base", [llama, paired.encoder])
def test_decoders_and_encoders_are_fine(project: Callable[..., Path], base: Callable[[Path], None]) -> None:
    base(project())
    assert refusals() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"is_encoder_decoder": True},
            "this is an encoder-decoder, but embeddings need a text-only decoder or encoder",
        ),
        ({"model_type": "nothing", "architectures": ["Nothing"]}, "a model of the type 'nothing'"),
        ({"hidden_size": 16}, "config.json says"),
    ],
)
def test_a_base_that_gives_no_vectors(project: Callable[..., Path], change: dict[str, Any], says: str) -> None:
    import re

    folder = project()
    paired.encoder(folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | change))
    (sentence,) = refusals()
    assert re.search(says, sentence), sentence


def test_a_scheme_that_the_base_cannot_have(project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.quantize import bits

    def refuse(*_: object) -> None:
        raise ValueError("no such layer")

    llama(project(quantize={"schemes": ["int8"]}))
    monkeypatch.setattr(bits, "write", refuse)
    (sentence,) = refusals()
    assert (
        "cannot be quantised by int8 (tested on a small copy: ValueError: no such layer); remove int8 from" in sentence
    )


def test_weights_that_are_missing(project: Callable[..., Path]) -> None:
    folder = project()
    paired.encoder(folder)
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if "query.weight" in name)
    save_file({key: value for key, value in tensors.items() if key != name}, folder / "model.safetensors")
    (sentence,) = refusals()
    assert "1 weight missing" in sentence


def test_the_first_token_of_a_decoder_has_read_nothing(project: Callable[..., Path]) -> None:
    llama(project(template={"embed": {"pooling": "cls"}}))
    (sentence,) = refusals()
    assert "template.embed.pooling cls takes the vector of the first token" in sentence


def looked_at(folder: Path, records: list[dict[str, Any]]) -> str:
    """What is said of `records`."""
    own = Paths().own
    own.mkdir(parents=True, exist_ok=True)
    (own / "rows.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    errors, remarks = rows.look({"clean", "template", "train", "evaluate"}, Paths())
    return " ".join(map(str, [*errors, *remarks]))


@pytest.mark.parametrize(
    ("records", "train", "says"),
    [
        (GOOD, {}, ""),
        (GOOD, {"batch_size": 1}, "a batch has only one row"),
        ([{**row, "positive": "docker ps"} for row in GOOD], {}, "a batch has only one document"),
        ([{**row, "anchor": f"{row['anchor']} <|im_end|>"} for row in GOOD], {}, "rendered"),
        (
            [{"text": f"a text of {row['anchor']}", "split": row["split"]} for row in GOOD],
            {},
            "has one question, and one answer",
        ),
        ([{**row, "positive": "docker " * 300 + row["anchor"]} for row in GOOD], {}, "longer than 256 tokens"),
    ],
)
def test_rows_that_an_embedding_model_cannot_learn(
    project: Callable[..., Path], records: list[dict[str, Any]], train: dict[str, Any], says: str
) -> None:
    clean = {"input": "data/own", "near_duplicate": None, "max_loss": 0.5, "validation_share": 0.0}
    folder = project(train={**EMBED["train"], **train}, clean=clean)
    llama(folder)
    sentences = looked_at(folder, records)
    assert says in sentences if says else not sentences, sentences
