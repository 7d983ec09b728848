"""Everything the report shows, read from data/ into one value.

results = gather(Paths())
results.scores["merged"]["metrics"]["exact_match"]["value"]
"""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.files import read_json
from tasks.core.paths import Paths
from tasks.decide.evidence import is_left_out
from tasks.report.places import without_machine
from tasks.rows.parquet import read_table

ORDER = ("base", "base_system", "base_few_shot", "trained", "adapter", "merged")
"""Candidates in the order of the page; further baselines follow the base, quantised models the merged one, by name."""

OPTIONAL = ("trained",)
"""Those of them that only some runs have: `trained` is asked where align is on."""

PACKAGES = (
    "torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "tokenizers", "safetensors", "gguf",
    "datasets", "distilabel", "lm-eval", "dvc", "prefect",
)  # fmt: skip
"""Packages whose versions are named; requirements.lock has them all."""


@dataclass(frozen=True)
class RunResults:
    """What the stages of one run left, stage by stage."""

    base: dict[str, Any]
    """`base.json`; its files are left out."""
    settings: dict[str, dict[str, Any]]
    """Effective settings by section, with names as `lora.r`."""
    ledgers: list[dict[str, Any]]
    """One line each: where, unit, in, out and left by name, whether it adds up."""
    generated: dict[str, Any]
    """`ledger.json` of the stage generate: beside its counts the teacher, what it took, and how varied the rows are."""
    audit: dict[str, Any]
    preview: str
    """HTML fragment made and escaped by the stage template."""
    training: dict[str, Any]
    trainings: dict[str, dict[str, Any]]
    """`training.json` by the stage that made a model of text, train or align, in their order."""
    curves: dict[str, list[dict[str, float | None]]]
    """Rows of loss.csv by what was trained: pretraining, tuning, alignment."""
    episodes: dict[str, Any]
    """`episodes.json` of the stage align: how episodes of several turns went, before, in training and after."""
    samples: dict[str, dict[str, Any]]
    """`samples.json` by the stage that left one."""
    merge: dict[str, Any]
    quantized: list[dict[str, Any]]
    scores: dict[str, dict[str, Any]]
    """`scores.json` by candidate, in the order of the page."""
    predictions: dict[str, list[dict[str, Any]]]
    """Rows of predictions.parquet by candidate; all candidates have the same rows in the same order."""
    profile: dict[str, Any]
    """`profile.json` of the stage clean: lengths, sources, examples of rows that left and of
    what was found in others, largest clusters."""
    reported: dict[str, int]
    """What clean found in rows that stayed, by name."""
    columns: dict[str, dict[str, Any]]
    """Shape -> its rows, which columns clean read as what, and which it did not read."""
    versions: dict[str, str]
    decision: dict[str, Any]
    """`decision.json`: verdict, deciding metric and rules."""
    comparisons: dict[str, Any]
    """`comparisons.json`: candidates compared row by row, slices, benchmarks."""
    benchmarks: dict[str, dict[str, Any]]
    """`benchmarks.json` by candidate, of those that were asked."""
    judged: list[dict[str, Any]]
    """`judged.json` of every candidate that a judge has judged."""
    judgements: dict[str, dict[str, dict[str, Any]]]
    """Rows of judgements.parquet by candidate and id."""
    chat_template: str
    """The merged model's, by which all were asked."""


def gather(paths: Paths) -> RunResults:
    """Read what the stages left; raise `InputError` where a stage has not run."""
    audit = read_json(paths.audit, "template")
    training = read_json(paths.trained / "training.json", "train")
    base = read_json(paths.base / "base.json", "base")
    scores = _scores(paths)
    trained = {"train": paths.fitted, "align": paths.aligned}
    curves = {
        "pretraining": _curve(paths.base / "pretraining" / "loss.csv"),
        "tuning": _curve(paths.loss(paths.fitted)),
        "alignment": _curve(paths.loss(paths.aligned)),
    }
    return RunResults(
        base=without_machine({name: value for name, value in base.items() if name != "files"}),
        settings=without_machine(_settings(paths, audit)),
        ledgers=_ledgers(paths, audit),
        generated=_optional(paths.generated / "ledger.json"),
        audit=audit,
        preview=_text(paths.preview),
        training=without_machine(training),
        trainings=_by_stage({stage: folder / "training.json" for stage, folder in trained.items()}),
        curves={name: rows for name, rows in curves.items() if rows},
        episodes=_optional(paths.aligned / "episodes.json"),
        samples=_by_stage({stage: paths.samples(folder) for stage, folder in trained.items()}),
        merge=read_json(paths.merged / "merge.json", "merge"),
        quantized=_each(paths.data / "quantized", "quantization.json", "quantize"),
        scores=scores,
        predictions={name: _rows(paths.evaluation(name) / "predictions.parquet") for name in scores},
        profile=read_json(paths.profile, "clean"),
        reported=read_json(paths.ledger, "clean").get("reported", {}),
        columns=read_json(paths.ledger, "clean").get("columns", {}),
        versions=_versions(paths.requirements),
        decision=read_json(paths.decided, "decide"),
        comparisons=read_json(paths.comparisons, "decide"),
        benchmarks={
            name: values for name in scores if (values := _optional(paths.evaluation(name) / "benchmarks.json"))
        },
        judged=_each(paths.data / "judged", "judged.json", "judge"),
        judgements={
            folder.name: {row["id"]: row for row in _rows(folder / "judgements.parquet")}
            for folder in _folders(paths.data / "judged")
        },
        chat_template=_chat_template(paths.merged),
    )


def _by_stage(files: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What lies in `files` by stage, of those that are there."""
    return {stage: values for stage, file in files.items() if (values := _optional(file))}


def _scores(paths: Paths) -> dict[str, dict[str, Any]]:
    folders = _folders(paths.data / "evaluation")
    by_name = {
        folder.name: read_json(folder / "scores.json", "evaluate") for folder in folders if not is_left_out(folder)
    }
    left_out = [folder.name for folder in folders if is_left_out(folder)]
    missing = [name for name in ORDER if name not in (*by_name, *OPTIONAL, *left_out)]
    if missing:
        raise InputError(
            f"{paths.data / 'evaluation'}: no scores of {', '.join(missing)}; run the stage evaluate first."
        )
    more = sorted(set(by_name) - set(ORDER))
    free = [name for name in more if by_name[name]["kind"] == "free"]
    first = [name for name in ORDER if name in by_name and by_name[name]["kind"] == "free"]
    order = dict.fromkeys([*first, *free, *ORDER, *more])
    return {name: by_name[name] for name in order if name in by_name}


def _settings(paths: Paths, audit: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Effective settings by section of params.yaml, in the order of the stages; sections that left none are absent."""
    ledger = read_json(paths.ledger, "clean")
    distilled, quantized, judged = (
        [folder / "settings.json" for folder in _folders(paths.data / name)]
        for name in ("distilled", "quantized", "judged")
    )
    sections = {
        "base": _of_base(paths),
        "generate": _of_generation(paths),
        "clean": ledger.get("settings", {}),
        "template": audit.get("settings", {}),
        "distill": _optional(distilled[0]) if distilled else {},
        "train": _optional(paths.fitted / "settings.json"),
        "align": _optional(paths.aligned / "settings.json") if paths.trained == paths.aligned else {},
        "merge": _optional(paths.merged / "settings.json"),
        "quantize": _optional(quantized[0]) if quantized else {},
        "evaluate": _optional(paths.evaluation("base") / "settings.json"),
        "judge": _optional(judged[0]) if judged else {},
        "decide": _optional(paths.decided).get("settings", {}),
    }
    return {section: flat(values) for section, values in sections.items() if values}


def _of_base(paths: Paths) -> dict[str, Any]:
    """Settings of the base; where it was not trained here, without those of a training."""
    values = _optional(paths.base / "settings.json")
    if _optional(paths.base / "base.json").get("kind") == "trained":
        return values
    return {name: values[name] for name in ("hub", "folder", "rope") if name in values}


def _of_generation(paths: Paths) -> dict[str, Any]:
    """Settings of the generation; where it makes nothing, that alone."""
    values = _optional(paths.generated / "settings.json")
    return {"recipe": "none"} if values.get("recipe") == "none" else values


def _ledgers(paths: Paths, audit: dict[str, Any]) -> list[dict[str, Any]]:
    ledgers = []
    for where, file in (
        ("pretraining", paths.base / "pretraining" / "ledger.json"),
        ("generate", paths.generated / "ledger.json"),
        ("clean", paths.ledger),
    ):
        if values := _optional(file):
            ledgers.append((where, values))
    for split, values in audit.get("splits", {}).items():
        ledgers += [
            (f"template, {split}", values[unit]) for unit in ("rows", "tokens") if isinstance(values.get(unit), dict)
        ]
    return [_line(where, values) for where, values in ledgers if values["in"]]


def _line(where: str, values: dict[str, Any]) -> dict[str, Any]:
    out = {name: count for name, count in values["out"].items() if count}
    left = {name: count for name, count in values["left"].items() if count}
    repeated = values.get("repeated", 0)
    unaccounted = values["in"] + repeated - sum(out.values()) - sum(left.values())
    return {
        "where": where, "unit": values["unit"], "in": values["in"], "repeated": repeated, "out": out, "left": left,
        "open": unaccounted,
    }  # fmt: skip


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with names joined by dots."""
    flattened: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flattened.update(flat(value, f"{prefix}{name}."))
        else:
            flattened[f"{prefix}{name}"] = value
    return flattened


def _each(path: Path, name: str, stage: str) -> list[dict[str, Any]]:
    """What `stage` left under that name in each of its folders."""
    return [read_json(folder / name, stage) for folder in _folders(path)]


def _optional(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(_text(path) or "{}")
    return values


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _folders(path: Path) -> list[Path]:
    """Finished folders in `path`, by name; none where it does not exist."""
    return sorted(folder for folder in path.glob("[!.]*") if folder.is_dir())


def _curve(path: Path) -> list[dict[str, float | None]]:
    rows = csv.DictReader(_text(path).splitlines())
    return [{name: float(value) if value else None for name, value in row.items()} for row in rows]


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(path).to_pylist() if path.is_file() else []
    return rows


def _chat_template(folder: Path) -> str:
    """The template of a model's folder: a file of its own, or a key of the tokenizer's settings."""
    inside = _optional(folder / "tokenizer_config.json").get("chat_template")
    return _text(folder / "chat_template.jinja") or str(inside or "")


def _versions(lock: Path) -> dict[str, str]:
    """Versions of `PACKAGES` in a requirements file."""
    known = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", _text(lock), re.MULTILINE))
    return {name: known[name] for name in PACKAGES if name in known}
