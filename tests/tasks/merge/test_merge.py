"""Merging: the merged folder is the trained model, loads alone, and is the same bytes every time."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import CheckFailed, InputError, ModelError
from tasks.core.paths import Paths
from tasks.merge.settings import Settings
from tasks.merge.stage import run
from tests.tasks import tiny
from tests.tasks.tiny import contents

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = tiny.project(tmp_path_factory.mktemp("merge"))
    run(Settings(), paths)
    return paths


def load(folder: Path, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, **options)


def test_merged_is_base_with_adapter(merged: Paths) -> None:
    import torch
    from peft import PeftModel

    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        base = load(merged.base / "model")(ids).logits
        live = PeftModel.from_pretrained(load(merged.base / "model"), merged.trained)(ids).logits
        merged_logits = load(merged.merged)(ids).logits
    assert (live - base).abs().max() > 0.1, "the adapter changes nothing, so the test would prove nothing"
    assert (live - merged_logits).abs().max() < 1e-4


def test_folder_stops_where_training_taught_it(merged: Paths) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(merged.merged)
    generation = tiny.read(merged.merged / "generation_config.json")
    assert tokenizer.chat_template == tiny.CHATML
    assert generation["eos_token_id"] == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert generation["pad_token_id"] == tokenizer.pad_token_id


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_stops_at_each_stop_of_the_base_and_of_training(method: str, tmp_path: Path) -> None:
    paths = tiny.project(tmp_path, method=method)
    generation = paths.base / "model" / "generation_config.json"
    generation.write_text('{"eos_token_id": [7, 2], "do_sample": true, "top_p": 0.9}')
    tiny.record(paths, paths.base / "model", "trained", "model")
    (paths.tokenizer / "generation_config.json").write_text('{"eos_token_id": [2, 9]}')
    run(Settings(), paths)
    merged = tiny.read(paths.merged / "generation_config.json")
    assert merged["eos_token_id"] == tiny.read(paths.merged / "config.json")["eos_token_id"] == [2, 7, 9]
    assert tiny.read(paths.merged / "merge.json")["stops"] == tiny.tokenizer().convert_ids_to_tokens([2, 7, 9])
    if method == "lora":
        from tasks.quantize import stage as quantize

        assert merged["top_p"] == 0.9
        quantize.run(quantize.Settings(max_divergence=9.0), paths, "nf4")
        assert tiny.read(paths.quantized("nf4") / "generation_config.json")["eos_token_id"] == [2, 7, 9]


def test_facts(merged: Paths) -> None:
    facts = tiny.read(merged.merged / "merge.json")
    assert facts["method"] == "lora"
    assert facts["arithmetic"] == "float32"
    assert facts["probes"] == 4
    assert facts["max_logit_difference"] <= Settings().tolerance
    assert facts["same_greedy_token"] == 1.0


def test_same_bytes_twice_and_nothing_of_the_machine(merged: Paths) -> None:
    before = contents(merged.merged)
    run(Settings(), merged)
    assert contents(merged.merged) == before
    everything = b"".join(before.values())
    assert str(merged.root).encode() not in everything
    assert b"_name_or_path" not in before["config.json"] + before["generation_config.json"]
    header = before["model.safetensors"]
    metadata = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]
    assert metadata == {"format": "pt"}


def test_full_tuning_passes_through(tmp_path: Path) -> None:
    import torch

    paths = tiny.project(tmp_path, method="full", dtype="bfloat16")
    run(Settings(), paths)
    trained, merged = load(paths.trained).state_dict(), load(paths.merged).state_dict()
    assert tiny.read(paths.merged / "merge.json")["method"] == "full"
    assert all(merged[name].dtype == torch.bfloat16 for name in merged), "the base's stored type is kept"
    assert all(torch.equal(merged[name], trained[name].bfloat16()) for name in trained)


def test_beyond_the_tolerance_nothing_is_written(tmp_path: Path) -> None:
    paths = tiny.project(tmp_path)
    with pytest.raises(CheckFailed, match=r"merge\.tolerance = 1e-12"):
        run(Settings(tolerance=1e-12), paths)
    assert not paths.merged.exists()


def test_adapter_of_another_base(tmp_path: Path) -> None:
    paths = tiny.project(tmp_path)
    wider = tiny.model(paths.base / "model", vocabulary=320, hidden_size=96)
    tiny.record(paths, wider, "trained", "model")
    with pytest.raises(ModelError, match="does not fit the base"):
        run(Settings(), paths)


def test_nothing_trained(tmp_path: Path) -> None:
    paths = tiny.project(tmp_path, method="none")
    with pytest.raises(InputError, match="run the stage train first"):
        run(Settings(), paths)
