"""Where llama.cpp stops, as a GGUF file says it: the end token and two further tokens."""

from pathlib import Path
from typing import Any

import pytest

from tests.tasks import tiny

pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")


def written(folder: Path, *controls: str) -> dict[str, Any]:
    """The texts of the special ids in a file of a model that stops at `controls` too."""
    from tasks.chat.stops import save_stop_ids
    from tasks.models.gguf.convert import write_gguf

    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *controls]})
    tiny.model(folder, vocabulary=len(tokenizer))
    tokenizer.save_pretrained(folder)
    ids = {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(controls))}
    save_stop_ids(folder / "generation_config.json", ids, tokenizer)
    write_gguf(folder, folder / "model.gguf", "f32")
    fields = gguf.GGUFReader(folder / "model.gguf").fields
    names = ("eos", "eot", "eom")
    stored = {name: fields.get(f"tokenizer.ggml.{name}_token_id") for name in names}
    return {name: tokenizer.convert_ids_to_tokens(int(field.contents())) for name, field in stored.items() if field}


@pytest.mark.parametrize(
    ("controls", "expected"),
    [
        ([], {"eos": "<|im_end|>", "eot": "<|im_end|>"}),
        (["<|halt|>"], {"eos": "<|im_end|>", "eot": "<|im_end|>", "eom": "<|halt|>"}),
        (["<|eom_id|>", "<|halt|>"], {"eos": "<|im_end|>", "eot": "<|eom_id|>", "eom": "<|halt|>"}),
        (["<|a|>", "<|call|>", "<|b|>"], {"eos": "<|im_end|>", "eot": "<|b|>", "eom": "<|a|>"}),
    ],
)
def test_stops_that_llama_cpp_does_not_know_go_first(
    controls: list[str], expected: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(tmp_path, *controls) == expected
    assert "no room" not in capsys.readouterr().out


def test_stops_without_room_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "<|a|>", "<|b|>", "<|c|>")
    assert (
        "gguf: the format has no room for more stop tokens, so llama.cpp does not stop after <|c|>"
        in capsys.readouterr().out
    )
