"""Where generation stops, as it is read from and written to configurations."""

from pathlib import Path

import pytest

from tasks.chat.stops import config_stop_ids, copy_stop_ids, ordered, save_stop_ids, stop_ids
from tasks.core.errors import ModelError
from tests.tasks import tiny


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [
        (None, None, set()),
        (None, '{"eos_token_id": 3}', {3}),
        ('{"eos_token_id": [3, 2]}', '{"eos_token_id": 4}', {2, 3}),
        ("{}", '{"eos_token_id": 4}', set()),
        ('{"eos_token_id": null}', None, set()),
        ('{"eos_token_id": [3, 99999]}', None, {3, 99999}),
    ],
)
def test_a_folder_names_its_stops(
    generation: str | None, config: str | None, expected: set[int], tmp_path: Path
) -> None:
    for name, text in (("generation_config.json", generation), ("config.json", config)):
        if text:
            (tmp_path / name).write_text(text)
    assert config_stop_ids(tmp_path) == expected
    assert stop_ids(tmp_path, tiny.tokenizer()) == (expected - {99999}) | {2}
    assert config_stop_ids(None) == set()


@pytest.mark.parametrize("text", ["{", "[]", '{"eos_token_id": "</s>"}', '{"eos_token_id": [true]}'])
def test_a_broken_configuration_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(ModelError, match=r"generation_config\.json"):
        config_stop_ids(tmp_path)


def test_the_end_token_comes_first_and_other_settings_stay(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    assert ordered({5, 1, 2}, tokenizer) == [2, 1, 5]
    file = tmp_path / "generation_config.json"
    save_stop_ids(file, {2}, tokenizer)
    assert tiny.read(file) == {"eos_token_id": 2}
    file.write_text('{"temperature": 0.6, "eos_token_id": 9}')
    save_stop_ids(file, {1, 2}, tokenizer)
    assert tiny.read(file) == {"temperature": 0.6, "eos_token_id": [2, 1]}


def test_a_folder_takes_over_the_stops_of_another(tmp_path: Path) -> None:
    source, adapter, model = (tmp_path / name for name in ("tokenizer", "adapter", "model"))
    for folder in (source, adapter, model):
        folder.mkdir()
    copy_stop_ids(source, adapter)
    assert not list(adapter.iterdir())  # an older tokenizer says nothing
    save_stop_ids(source / "generation_config.json", {1, 2}, tiny.tokenizer())
    (model / "config.json").write_text('{"eos_token_id": 2, "hidden_size": 4}')
    for folder in (adapter, model):
        copy_stop_ids(source, folder)
        assert config_stop_ids(folder) == {1, 2}
    assert tiny.read(model / "config.json") == {"eos_token_id": [2, 1], "hidden_size": 4}
    assert sorted(file.name for file in adapter.iterdir()) == ["generation_config.json"]
