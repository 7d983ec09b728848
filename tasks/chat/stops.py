"""Where generation stops: at every token that ended a turn in training, and at those of the base's own list.

The stage `template` writes them beside the tokenizer as transformers keeps them, in generation_config.json; merging,
exports and evaluations read them there.
"""

from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.core.files import write_json
from tasks.core.json_files import read_object
from tasks.models.loading import MOST_TOKENS
from tasks.models.text_config import text_part

GENERATION = "generation_config.json"


def stop_ids(folder: Path | None, tokenizer: Any) -> set[int]:
    """Ids at which generation stops: the tokenizer's end token, and those that the folder's configuration names.

    Numbers beyond the vocabulary, which some configurations name, are no tokens.
    """
    named = {token for token in config_stop_ids(folder) if token < len(tokenizer)}
    return {tokenizer.eos_token_id, *named} - {None}


def config_stop_ids(folder: Path | None) -> set[int]:
    """Ids at which a folder says that generation stops: in generation_config.json, or in config.json without one.

    Raises `ModelError` where the file is no JSON, or what it names is no token's number.
    """
    for name in (GENERATION, "config.json"):
        if folder and (folder / name).is_file():
            value = text_part(read_object(folder / name, ModelError)).get("eos_token_id")
            ids = value if isinstance(value, list) else [] if value is None else [value]
            if not all(type(token) is int and 0 <= token < MOST_TOKENS for token in ids):
                raise ModelError(f"{folder / name}: eos_token_id = {value!r} is not a token id; fix the file.")
            return set(ids)
    return set()


def ordered(ids: set[int], tokenizer: Any) -> list[int]:
    """The ids, the tokenizer's end token first: some programs read only one."""
    return sorted(ids, key=lambda token: (token != tokenizer.eos_token_id, token))


def setting(ids: set[int], tokenizer: Any) -> int | list[int]:
    """The ids as configurations have them: a number, or a list of several."""
    several = ordered(ids, tokenizer)
    return several if len(several) > 1 else several[0]


def save_stop_ids(file: Path, ids: set[int], tokenizer: Any) -> None:
    """Set `eos_token_id` in a configuration, which is made where it is not there."""
    values = read_object(file, ModelError) if file.is_file() else {}
    write_json(file, {**values, "eos_token_id": setting(ids, tokenizer)})


def copy_stop_ids(source: Path, out: Path) -> None:
    """Have a folder with an adapter or a model stop where the folder `source` does, if it says so."""
    if not (source / GENERATION).is_file():
        return
    value = read_object(source / GENERATION, ModelError).get("eos_token_id")
    for file in [out / GENERATION, *filter(Path.is_file, [out / "config.json"])]:
        write_json(file, {**(read_object(file, ModelError) if file.is_file() else {}), "eos_token_id": value})
