"""Configurations of models that see: vocabulary and context lie below `text_config`, and are checked all the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.chat.stops import config_stop_ids
from tasks.core.errors import InputError
from tasks.models.text_config import text_part, text_value
from tasks.template.settings import Settings
from tasks.template.tokenizer import context_length, embedding_rows, max_length
from tests.tasks import tiny


def base(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


NESTED: list[tuple[dict[str, Any], int | None, int | None]] = [
    ({"vocab_size": 90, "max_position_embeddings": 128}, 90, 128),
    ({"vocab_size": 90, "n_positions": 64}, 90, 64),
    ({"text_config": {"vocab_size": 90, "max_position_embeddings": 128}, "vision_config": {"vocab_size": 7}}, 90, 128),
    ({"vocab_size": 5, "text_config": {"vocab_size": 90, "max_position_embeddings": 128}}, 90, 128),
    ({"llm_config": {"vocab_size": 90, "max_position_embeddings": 128}}, 90, 128),
    ({"thinker_config": {"text_config": {"vocab_size": 90, "max_position_embeddings": 128}}}, 90, 128),
    ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "vocab_size": 90}}, 90, 131072),
    ({"model_type": "nobody-knows", "text_config": {"vocab_size": 90}}, 90, None),
    ({"model_type": "llama"}, None, None),
]


@pytest.mark.parametrize(("config", "rows", "context"), NESTED, ids=lambda value: str(value)[:50])
def test_vocabulary_and_context_are_found(
    config: dict[str, Any], rows: int | None, context: int | None, tmp_path: Path
) -> None:
    folder = base(tmp_path, config)
    assert embedding_rows(folder, Settings()) == rows
    assert context_length(folder) == context


def test_a_row_longer_than_a_nested_context_is_refused(tmp_path: Path) -> None:
    folder = base(tmp_path, {"text_config": {"vocab_size": 90, "max_position_embeddings": 128}})
    with pytest.raises(InputError, match="the base allows at most 128 tokens"):
        max_length(tiny.tokenizer(), folder, 129)
    assert max_length(tiny.tokenizer(), folder, 128)[0] == 128


def test_the_part_is_that_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoConfig, Gemma3Config

    config = Gemma3Config(text_config={"vocab_size": 90, "hidden_size": 16, "num_hidden_layers": 1})
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    wanted = AutoConfig.from_pretrained(tmp_path).get_text_config()
    for name in ("vocab_size", "max_position_embeddings", "hidden_size"):
        assert text_value(tmp_path, written, name) == getattr(wanted, name)
    assert text_part(written)["vocab_size"] == 90


def test_stop_tokens_of_the_language_model_count(tmp_path: Path) -> None:
    assert config_stop_ids(base(tmp_path, {"text_config": {"eos_token_id": [3, 4]}})) == {3, 4}
    assert config_stop_ids(base(tmp_path, {"eos_token_id": 2, "text_config": {"vocab_size": 9}})) == {2}
