"""The data sets that LLaMA-Factory's YAML names, by dataset_info.json beside them, and how they are mixed.

`mix_strategy` (its data/data_utils.py): concat takes all rows; interleave_under and interleave_over are
`datasets.interleave_datasets` with `interleave_probs`, its seed, and first_exhausted or all_exhausted, as
`clean.interleave` is; interleave_once takes each row once. `max_samples` limits each data set.
"""

import json
from collections.abc import Mapping
from typing import Any

from flows.migrate import trainer
from flows.migrate.conversion import Conversion, Dataset, Line, aside, mixed, shown
from tasks.clean.settings import PRECISION

INFO = "dataset_info.json"
USUAL = ("instruction", "input", "output", "messages", "conversations", "chosen", "rejected", "text")
"""Columns that are read under their names."""
STOPS = {"interleave_under": "first_exhausted", "interleave_over": "all_exhausted"}
MIXED = ("dataset", "train_dataset", "max_samples", "mix_strategy", "interleave_probs")
"""Keys that say together which rows there are."""


def convert(given: Mapping[str, Any], conversion: Conversion) -> None:
    """The data sets that dataset_info.json describes, and how they are mixed; usual column names need no line."""
    key = next((key for key in ("dataset", "train_dataset") if given.get(key)), None)
    if key is None:
        conversion.apply({name: aside("it mixes data sets, but none is named") for name in MIXED}, _some(given, MIXED))
        return
    names = _listed(given[key])
    folder = conversion.folder / str(given.get("dataset_dir") or "data")
    places = (folder / INFO, conversion.folder / INFO, conversion.folder / "data" / INFO)
    file = next((file for file in places if file.is_file()), None)
    known = json.loads(file.read_text(encoding="utf-8")) if file else {}
    entries = {name: known.get(name, {}) for name in dict.fromkeys(names)}
    local = {
        name: (file.parent / entry["file_name"]).resolve()
        for name, entry in entries.items()
        if file and "file_name" in entry
    }
    here = [name for name in entries if name in local and local[name].exists()]
    parts, stop = _parts(given, conversion, names, entries, together=len(entries) > 1 and len(here) == len(entries))
    if len(entries) > 1 and len(here) == len(entries):
        mixed(
            conversion,
            [Dataset(f"{key}[{names.index(name)}]", name, local[name], parts[name]) for name in entries],
        )
        if stop:
            conversion.put("clean.interleave", {"stop": stop, "seed": int(given.get("seed") or 42)})
    else:
        first, *others = entries
        entry = entries[first]
        elsewhere = entry.get("file_name") or entry.get("hf_hub_url") or first
        trainer.data(conversion, f"{key}[0]", str(local[first]) if first in local else elsewhere)
        for name in others:
            conversion.refuse(f"{key}[{names.index(name)}]", name, trainer.ONE)
        if parts[first] and not others:
            conversion.put("clean.mix", [{"files": "**", **parts[first]}])
    for name, entry in entries.items():
        _columns(conversion, name, entry.get("columns", {}))


def _parts(
    given: Mapping[str, Any], conversion: Conversion, names: list[str], entries: Mapping[str, Any], *, together: bool
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """The entry of `clean.mix` for each data set, and `clean.interleave.stop` where their rows alternate."""
    parts: dict[str, dict[str, Any]] = {name: {} for name in entries}
    for name, entry in entries.items():
        limits = [int(limit) for limit in (given.get("max_samples"), entry.get("num_samples")) if limit]
        if limits:
            parts[name]["cap"] = min(limits)
            if entry.get("num_samples"):
                note = "to repeat rows, set a share above 1"
                conversion.lines.append(Line(f"{INFO}: {name}.num_samples", entry["num_samples"], "mapped",
                    f"clean.mix: cap {parts[name]['cap']} ({note})"))  # fmt: skip
        if names.count(name) > 1:
            parts[name]["share"] = names.count(name)
    if given.get("max_samples"):
        what = f"clean.mix: cap {shown(int(given['max_samples']))} (rows are drawn by hash, not taken from the start)"
        conversion.lines.append(Line("max_samples", given["max_samples"], "mapped", what))
    strategy, listed = given.get("mix_strategy") or "concat", given.get("interleave_probs")
    probabilities = [float(one) for one in _listed(listed)] if listed else []
    if strategy in ("concat", "interleave_once"):
        if "mix_strategy" in given:
            conversion.same("mix_strategy", strategy, "every row of all files once, shuffled in each epoch")
        if listed:
            why = (
                "concat takes all rows; LLaMA-Factory refuses it too" if strategy == "concat" else "every row is taken"
            )
            conversion.refuse("interleave_probs", listed, f"without effect: {why}")
        return parts, None
    if strategy not in STOPS:
        conversion.refuse(
            "mix_strategy", strategy, "use clean.interleave to alternate between data sets, or take all rows"
        )
        return parts, None
    wrong = probabilities and (
        len(probabilities) != len(names) or min(probabilities) <= 0 or abs(sum(probabilities) - 1) > PRECISION
    )
    if wrong or not together or len(entries) < len(names):
        why = "it needs one probability above 0 for each data set, and a sum of 1" if wrong else (
            "each data set must be a file on this machine, and be named once"
        )  # fmt: skip
        how = f"write the probabilities to clean.mix, and clean.interleave: {{stop: {STOPS[strategy]}}}"
        for key in ("mix_strategy", "interleave_probs"):
            if given.get(key):
                conversion.refuse(key, given[key], f"{why}; {how}")
        return parts, None
    note = "" if probabilities else "drawn with equal probabilities; LLaMA-Factory takes strict turns"
    conversion.set("mix_strategy", strategy, "clean.interleave.stop", STOPS[strategy], note)
    if probabilities:
        values = shown(dict(zip(names, probabilities, strict=True)))
        conversion.lines.append(Line("interleave_probs", listed, "mapped", f"clean.mix: probability {values}"))
    for name, probability in zip(names, probabilities or [1 / len(names)] * len(names), strict=True):
        parts[name]["probability"] = probability
    return parts, STOPS[strategy]


def _columns(conversion: Conversion, name: str, columns: Mapping[str, str]) -> None:
    """Columns with unusual names; where data sets differ, those of the first."""
    own = {"prompt": "question", "response": "answer", "system": "system"}
    for part, column in columns.items():
        key = f"{INFO}: {name}.columns.{part}"
        taken = conversion.values.get("clean", {}).get("columns", {}).get(own.get(part, ""))
        if column in USUAL:
            conversion.same(key, column, "read under this name")
        elif part in own and taken in (None, column):
            conversion.set(key, column, f"clean.columns.{own[part]}")
        elif part in own:
            conversion.refuse(
                key, column, f"clean.columns.{own[part]} is {taken}; use the same column names in all files"
            )
        else:
            conversion.refuse(key, column, "temper look shows what each column becomes")


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [one.strip() for one in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else [value]


def _some(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}
