"""The recipes of `temper new --task`: each is carried out on rows of its task, as it stands but for the size of things.

The quick tests make a few rows, and go as far as six steps of training. The long ones take real rows of
../shared/data and a real model, and go to the report.
"""

import csv
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.params.defaults import defaults, reset
from flows.params.model import change, model, save
from tasks.core.paths import Paths
from tasks.core.settings import load, read
from tasks.stages import stage, stages
from tests.flows.project import ROOT
from tests.tasks import stories, tiny

TASKS = sorted(path.stem for path in (ROOT / "recipes/tasks").glob("*.yaml"))
SHARED = ROOT.parent / "shared" / "data"

Rows = list[dict[str, Any]]

SMALL = (
    "base.folder=model", "train.epochs=null", "train.steps=6", "train.threads=1", "train.logging_steps=1",
    "align.threads=1", "align.logging_steps=1",
)  # fmt: skip
"""What is less than in the recipe: the base, and how long it is trained."""

PACKED = ("chat", "continue")
"""Tasks whose rows come in packs of 2,048 or 4,096 tokens: one is enough for a step."""

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
THINGS = ("door", "boat", "lamp", "coat", "bird", "wall", "cup", "road", "shoe", "tree")


def made(task: str) -> Rows:
    """Sixty rows of a task."""
    pairs = [(colour, thing) for thing in THINGS for colour in COLOURS]
    by_task: dict[str, Rows] = {
        "answer": [
            {"question": f"What is {c}?", "context": f"Here stand a {c} {t} and a {t}.", "answer": f"The {t}"}
            for c, t in pairs
        ],
        "chat": [
            {"messages": [
                {"role": "user", "content": f"I want a {t}."}, {"role": "assistant", "content": f"Which {t}?"},
                {"role": "user", "content": f"The {c} one."}, {"role": "assistant", "content": f"A {c} {t}, then."},
            ]}
            for c, t in pairs
        ],
        "classify": [{"text": f"I painted my {t} {c} today", "label": c} for c, t in pairs],
        "code": [
            {"instruction": f"Paint the {t} {c}.", "output": f"paint('{t}', colour='{c}')"} for c, t in pairs
        ],
        "continue": [
            {"text": "".join(f"Once a {c} {t} stood by {at + more} others. " for more in range(1 if at else 99))}
            for at, (c, t) in enumerate(pairs)
        ],
        "preference": [
            {"prompt": f"Is the {t} {c}?", "chosen": f"Yes, the {t} is {c}.", "rejected": f"No {number} idea."}
            for number, (c, t) in enumerate(pairs)
        ],
    }  # fmt: skip
    return by_task[task]


def lines(name: str) -> Rows:
    return [json.loads(line) for line in (SHARED / name).read_text(encoding="utf-8").splitlines()]


def real(task: str, count: int) -> Rows:
    """Rows that people wrote, of a length that fits; a label is the subcommand of a docker command."""
    docker = "docker/docker_commands_train.jsonl"
    if task == "answer":
        name, rows = "question", lines("evaluation/mc_arc_easy_train.jsonl")
        rows = [{name: row[name], "answer": row["choices"][row["gold"]]} for row in rows]
    elif task == "classify":
        rows = [{"text": row["input"], "label": [*row["output"].split(), "none"][1]} for row in lines(docker)]
    else:
        files = {
            "chat": "chat/chat_sgd_train.jsonl", "code": docker, "continue": "chat/c4_demo.jsonl",
            "preference": "preference/preference_dpo_demo.jsonl",
        }  # fmt: skip
        rows = lines(files[task])
        if task == "chat":  # up to the first call of a tool, which the model's template has no words for
            rows = [{"messages": row["messages"][: _plain(row["messages"])]} for row in rows]
            rows = [row for row in rows if len(row["messages"]) > 1]
        if longest := {"chat": 800, "preference": 2500}.get(task):  # characters
            rows = [row for row in rows if len(json.dumps(row)) <= longest]
    random.Random(3).shuffle(rows)
    return rows[:count]


def _plain(messages: list[dict[str, Any]]) -> int:
    """Turns before the first that calls a tool, of user and assistant in turn."""
    calls = next((number for number, turn in enumerate(messages) if turn.get("tool_calls")), len(messages))
    return calls - calls % 2


def project(task: str, rows: Rows, *changes: str) -> Paths:
    """A project in the current folder as `temper new` sets it up for `task`, with `rows`."""
    paths = Paths()
    shutil.copy(ROOT / "params.yaml", paths.params)
    shutil.copy(ROOT / "requirements.lock", paths.requirements)
    document = read(paths.params)
    reset(document, defaults(model()))
    save(document, read(paths.params), paths.params)
    change([], ROOT / f"recipes/tasks/{task}.yaml", path=paths.params)
    change([*SMALL, *changes], path=paths.params)
    paths.own.mkdir(parents=True)
    if task == "classify":
        with (paths.own / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        (paths.own / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return paths


def carry_out(paths: Paths, last: str = "report") -> list[str]:
    """Run every stage up to `last`, each for all of its items; what was run."""
    params: Any = load(model(), paths.params)
    done = []
    for one in stages():
        for entry in one.entries:
            items = [entry.item] if entry.item else [""]
            if entry.foreach:
                section, _, key = entry.foreach.partition(".")
                items = list(getattr(getattr(params, section), key))
            for item in items:
                one.run(load(one.settings, paths.params, one.name), paths, *([item] if item else []))
                done.append(f"{one.name} {item}".strip())
        if one.name == last:
            return done
    raise AssertionError(f"no stage {last}")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, with a context as long as the recipes ask for."""
    tokenizer = tiny.tokenizer()
    folder = tiny.model(
        tmp_path_factory.mktemp("base") / "model", vocabulary=len(tokenizer), max_position_embeddings=4096
    )
    tokenizer.model_max_length = 4096
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.parametrize("task", TASKS)
def test_a_recipe_cleans_templates_and_trains(task: str, base: Path, here: Path) -> None:
    rows = made(task)
    shutil.copytree(base, here / "model")
    aligned = task == "preference"
    changes = ["align.epochs=null", "align.steps=6"] if aligned else []
    if task in PACKED:
        changes += ["train.gradient_accumulation=1"]
    paths = project(task, rows, *changes)
    for name in ("base", "clean", "template", "train", "align"):
        stage(name).run(load(stage(name).settings, paths.params, name), paths)
    ledger = tiny.read(paths.ledger)
    assert ledger["in"] == len(rows)
    assert sum(ledger["out"].values()) == len(rows), ledger["left"]
    assert ledger["out"]["train"] and ledger["out"]["test"]
    assert tiny.read(paths.trained / "training.json")["steps"] == 6
    assert (paths.trained == paths.aligned) is aligned


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is missing")
@pytest.mark.parametrize("task", TASKS)
def test_a_recipe_goes_to_its_report_on_real_rows(task: str, here: Path) -> None:
    shutil.copytree(stories.SHARED, here / "model")
    changes = ["evaluate.limit=8", "evaluate.max_new_tokens=24"]
    if task in ("continue", "preference"):
        changes += ["base.rope={type: linear, factor: 8}"]  # rows as long as the recipe allows
    else:
        changes += ["template.max_length=512"]  # what the model's context is
    if task == "preference":
        changes += ["align.epochs=null", "align.steps=6"]
    if task in PACKED:
        changes += ["train.gradient_accumulation=1"]
    paths = project(task, real(task, 120), *changes)
    carry_out(paths)
    card = paths.card.read_text(encoding="utf-8")
    assert "## The same training in plain trl" in card
    assert tiny.read(paths.comparison)["candidates"].keys() >= {"base", "adapter", "merged", "gguf-q8_0"}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is missing")
def test_a_classifier_goes_to_its_report_on_real_rows(here: Path) -> None:
    shutil.copytree(stories.SHARED, here / "model")
    paths = project("classify", frequent(real("classify", 400)))
    changes = (*SMALL, "train.steps=40", "train.learning_rate=3e-3", "evaluate.limit=24")
    change([*changes], ROOT / "recipes/classifier.yaml", path=paths.params)
    carry_out(paths)
    candidates = tiny.read(paths.comparison)["candidates"]
    assert candidates.keys() >= {"base", "adapter", "merged", "nf4", "int8"}
    assert candidates["merged"]["macro_f1"]["value"] > candidates["base"]["macro_f1"]["value"]
    card = paths.card.read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card
    assert 'pipeline("text-classification"' in card


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is missing")
def test_an_embedding_model_goes_to_its_report_on_real_rows(here: Path) -> None:
    shutil.copytree(stories.SHARED, here / "model")
    pairs = [{"anchor": row["input"], "positive": row["output"]} for row in real("code", 600)]
    paths = project("code", pairs)
    change([*SMALL, "train.steps=60", "template.max_length=128"], ROOT / "recipes/embeddings.yaml", path=paths.params)
    carry_out(paths)
    candidates = tiny.read(paths.comparison)["candidates"]
    assert set(candidates) == {"base", "adapter", "merged", "nf4", "int8"}
    assert candidates["merged"]["ndcg_at_10"]["value"] > candidates["base"]["ndcg_at_10"]["value"]
    card = paths.card.read_text(encoding="utf-8")
    assert "pipeline_tag: sentence-similarity" in card
    assert 'SentenceTransformer("data/merged")' in card
    assert "chat template" not in card.lower()


def frequent(rows: Rows) -> Rows:
    """Those of a class with twelve rows at least, so that each split has some."""
    sizes = Counter(row["label"] for row in rows)
    return [row for row in rows if sizes[row["label"]] >= 12]
