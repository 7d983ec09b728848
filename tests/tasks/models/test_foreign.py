"""Files of models and adapters that lie are refused by name, before anything is built of them."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tasks.core.errors import ModelError
from tasks.models.adapter_files import adapter_config, check_ranks, training_record
from tasks.models.foreign import check_sizes, foreign
from tasks.models.shards import stored_tensors

SIZES = {"vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tensors, the largest of 32 x 8, and sizes that fit them."""
    tensors = {name: torch.ones(shape) for name, shape in (("embed", (32, 8)), ("a", (8, 8)), ("b", (8,)))}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    return tmp_path


def test_sizes_that_the_tensors_have_are_right(folder: Path) -> None:
    assert check_sizes(folder, stored_tensors(folder)) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"vocab_size": 64 * 32 * 8 + 1},
            "vocab_size = 16385, but the largest of 3 tensors beside it has fewer values",
        ),
        ({"num_hidden_layers": 4}, "num_hidden_layers = 4, but there are only 3 tensors beside it"),
        ({"hidden_size": "x"}, "hidden_size = 'x' is not a valid size"),
        ({"hidden_size": True}, "hidden_size = True is not a valid size"),
        ({"hidden_size": -8}, "hidden_size = -8 is not a valid size"),
        ({"text_config": {"n_layer": 10**9}}, "n_layer = 1000000000"),
    ],
)
def test_sizes_that_no_tensor_has_are_refused(folder: Path, values: dict[str, Any], sentence: str) -> None:
    (folder / "config.json").write_text(json.dumps({**SIZES, **values}))
    with pytest.raises(ModelError, match=rf"config\.json: {sentence}"):
        check_sizes(folder, stored_tensors(folder))


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"shape": [-1, 4]}, "wrong at a shape 0"),
        ({"shape": [2**40, 2**40]}, "takes .* bytes by its shape"),
        ({"shape": [1.5]}, "wrong at a shape 0"),
        ({"shape": [True]}, "wrong at a shape 0"),
        ({"data_offsets": [-100, 10]}, "wrong at a data_offsets 0"),
        ({"data_offsets": [0, 4]}, "takes 256 bytes by its shape, but 4 by its offsets"),
        ({"data_offsets": [10**9, 10**9 + 256]}, "ends before its last tensor"),
        ({"data_offsets": [0, 256]}, "overlaps another one"),
        ({"dtype": "F99"}, "unknown type F99"),
        ({"dtype": [1]}, "wrong at a dtype"),
    ],
)
def test_a_header_that_lies_is_refused(folder: Path, facts: dict[str, Any], sentence: str) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    first = next(name for name in header if header[name]["data_offsets"][0] == 0)
    if facts.get("data_offsets") == [0, 256] and first == "a":
        facts = {"data_offsets": header["embed"]["data_offsets"][:1] * 2}
        facts["data_offsets"][1] += 256
    header["a"].update(facts)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(ModelError, match=rf"model\.safetensors: .*{sentence}"):
        stored_tensors(folder)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"peft_type": None}, "peft_type = None"),
        ({"r": -4}, "r = -4"),
        ({"r": True}, "r = True"),
        ({"lora_alpha": float("nan")}, "lora_alpha = nan"),
        ({"target_modules": "(.*)*(.*)*(.*)*x$"}, r"it takes more than 0\.05 second"),
        ({"rank_pattern": [1]}, "rank_pattern = "),
        ({"rank_pattern": {"(": 3}}, "it is not a regular expression"),
        ({"modules_to_save": [3]}, "modules_to_save"),
    ],
)
def test_an_adapter_configuration_that_lies_is_refused(
    tmp_path: Path, values: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.bounds.patterns.TRIED", 0.05)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, **values}))
    with pytest.raises(ModelError, match=rf"adapter_config\.json: .*{sentence}"):
        adapter_config(tmp_path)


def test_ranks_beyond_the_tensors_are_refused(tmp_path: Path) -> None:
    check_ranks(tmp_path, {"r": 64, "rank_pattern": {"q_proj": 8}}, 64)
    with pytest.raises(ModelError, match=r"rank_pattern\.q_proj = 65, but no dimension of .* is above 64"):
        check_ranks(tmp_path, {"r": 4, "rank_pattern": {"q_proj": 65}}, 64)


def test_a_training_record_is_checked_where_there_is_one(tmp_path: Path) -> None:
    assert training_record(tmp_path).quantization is None
    (tmp_path / "training.json").write_text('{"quantization": {"scheme": "nf3"}}')
    with pytest.raises(ModelError, match=r"training\.json: quantization\.scheme = 'nf3': input should be 'nf4'"):
        training_record(tmp_path)


def divide(by: int) -> float:
    with foreign(Path("m/config.json"), "restore it"):
        return 1 / by


def test_what_a_library_raises_names_the_file_and_what_the_machine_lacks_stays() -> None:
    with pytest.raises(
        ModelError, match=r"^m/config\.json: it cannot be used \(ZeroDivisionError: .*\); restore it\.$"
    ):
        divide(0)
    with pytest.raises(OSError, match="full"), foreign(Path("m")):
        raise OSError(28, "full")
