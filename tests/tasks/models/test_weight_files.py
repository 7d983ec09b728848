"""Files with weights that are missing or cut off are named before anything is loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.core.errors import ModelError
from tasks.models.weight_files import check_weight_files

PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def test_of_a_model_in_one_file_and_of_an_adapter(tmp_path: Path) -> None:
    for name in ("model.safetensors", "adapter_model.safetensors"):
        file = tmp_path / name
        with pytest.raises(ModelError, match=f"^{file}: this file with weights is missing; restore it.$"):
            check_weight_files(tmp_path)
        save_file({"a": np.zeros(100, "float32")}, file)
        check_weight_files(tmp_path)
        content = file.read_bytes()
        for length in (len(content) - 1, 5, 0):
            file.write_bytes(content[:length])
            with pytest.raises(ModelError, match=rf"^{file}: it is not a complete safetensors file \(.*; do that.$"):
                check_weight_files(tmp_path, "do that")
        file.unlink()
        (tmp_path / "adapter_config.json").write_text("{}")


def test_of_a_model_in_several_files(tmp_path: Path) -> None:
    index = {"weight_map": {"a": PARTS[0], "b": PARTS[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"a": np.zeros(1)}, tmp_path / PARTS[0])
    with pytest.raises(ModelError, match=f"^{tmp_path / PARTS[1]}: this file with weights is missing"):
        check_weight_files(tmp_path)
    save_file({"b": np.zeros(1)}, tmp_path / PARTS[1])
    check_weight_files(tmp_path)


@pytest.mark.parametrize("name", ["model-q8_0.gguf", "pytorch_model.bin"])
def test_other_formats_are_left_to_who_reads_them(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    check_weight_files(tmp_path)
