"""Axolotl's data sets, and the order in which their rows are trained."""

from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.conversion import Conversion, Dataset, Rule, always, aside, mixed, off, to
from tasks.core.paths import PATHS

ORDER = ("shuffle_merged_datasets", "shuffle_before_merging_datasets", "curriculum_sampling")
"""Keys of that order, which are read together."""
SHAPES = ("alpaca", "chat", "sharegpt", "gpteacher", "chatml", "llama3", "tokenizer")
"""Beginnings of the names of its formats of rows that are read by their keys."""


def datasets(conversion: Conversion, key: str, value: Any) -> None:
    """Files of this machine become parts of one input, as axolotl puts them together; one that is named twice counts
    twice, and `shards` is a share. Of those that are not here, the first becomes the input."""
    named = [(f"{key}[{number}]", one) for number, one in enumerate(value if isinstance(value, list) else [value])]
    by_path: dict[str, list[tuple[str, Any]]] = {}
    for name, one in named:
        if not isinstance(one, Mapping) or "path" not in one:
            conversion.without(name, one, "no data set with a path")
            continue
        by_path.setdefault(str(one["path"]), []).append((name, one))
        conversion.apply(DATASET, {field: kept for field, kept in one.items() if field != "path"}, f"{name}.")
    parts: dict[str, dict[str, Any]] = {}
    for path, same in by_path.items():
        share = sum(1 / int(one.get("shards") or 1) for _, one in same)
        parts[path] = {} if share == 1 else {"share": round(share, 6)}
    files = {path: (conversion.folder / path).resolve() for path in by_path}
    if len(files) > 1 and all(file.exists() for file in files.values()):
        sets = [Dataset(f"{by_path[path][0][0]}.path", path, files[path], parts[path]) for path in files]
        mixed(conversion, sets)
        return
    for number, (path, same) in enumerate(by_path.items()):
        if number:
            conversion.refuse(f"{same[0][0]}.path", path, trainer.ONE)
            continue
        trainer.data(conversion, f"{same[0][0]}.path", path)
        if parts[path] and len(by_path) == 1:
            conversion.put("clean.mix", [{"files": "**", **parts[path]}])


def order(given: Mapping[str, Any], conversion: Conversion) -> None:
    """In what order rows are trained: axolotl's trainer draws one each epoch, unless its sampling is a curriculum."""
    kept = given.get("shuffle_merged_datasets") is False
    curriculum = bool(given.get("curriculum_sampling"))
    for key in ORDER:
        if given.get(key) is None:
            continue
        if key == "curriculum_sampling" and curriculum and kept:
            note = "rows as they stand in the files, by the names of the files"
            target = "STAGE.arguments.train_sampling_strategy"
            conversion.set(key, True, target, "sequential", note)
        elif key == "curriculum_sampling" and curriculum:
            conversion.same(key, True, "order: shuffled; its merged rows are shuffled before")
        else:
            conversion.same(key, given[key], "order: shuffled, another one each epoch, as its trainer does")


def _type(conversion: Conversion, key: str, value: Any) -> None:
    name = value if isinstance(value, str) else "a custom format"
    if name == "completion":
        conversion.set(key, value, "clean.shape", "text")
    elif name.split(".")[0].split("_")[0] in SHAPES:
        conversion.same(key, value, "rows are recognised by their keys")
    else:
        conversion.refuse(key, value, "name question and answer in clean.columns; temper look shows the columns")


def validation(conversion: Conversion, key: str, value: Any) -> None:
    if float(value) < 1:
        conversion.set(key, value, "clean.validation_share", float(value))
    else:
        conversion.refuse(
            key, value, "set clean.validation_share to a share of the rows, or name files in clean.splits"
        )


def template(conversion: Conversion, key: str, value: Any) -> None:
    if value in ("tokenizer_default", None):
        conversion.same(key, value, "chattemplate: null, the tokenizer's own")
    elif value == "chatml":
        conversion.set(key, value, "template.chattemplate", "chatml")
    else:
        conversion.same(key, value, f"the tokenizer's own; put another one as a file into {PATHS.templates}")


DATASET: dict[str, Rule] = {
    "type": _type,
    "split": off("each file holds one split; name files in clean.splits", ("train",)),
    "name": off("a subset of a data set is its folder: put its files into the input", ()),
    "field_messages": always("read from its key", ("messages", "conversations", "conversation")),
    "message_property_mappings": always(
        "names of roles and contents are recognised",
        ({"role": "role", "content": "content"}, {"role": "from", "content": "value"}),
    ),
    "message_field_role": always("known", ("role", "from")),
    "message_field_content": always("known", ("content", "value")),
    "roles": aside("the usual names of speakers are recognised"),
    "roles_to_train": always("train_on: assistant", (["assistant"], ["gpt"], ["assistant", "gpt"])),
    "train_on_eos": always("the end of each turn is trained", ("turn", "all")),
    "chat_template": template,
    "field": to("clean.columns.text", str),
    "shards": aside("set by share in clean.mix; rows are chosen by hash"),
    "shards_idx": aside("rows are chosen by hash, so there is one choice of a share"),
    "preprocess_shards": aside("rows are always read piece by piece"),
    "ds_type": aside("file formats are recognised by content"),
    "data_files": off("put the files into the input", ()),
    "drop_system_message": off("each message is trained or masked, never dropped"),
}
"""Keys of a data set."""
