"""A small project whose rows a scripted teacher makes, for the tests of the stage `generate`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil

from tasks.core.paths import Paths
from tasks.generate.settings import Settings
from tests.tasks.teacher_server import Server

ROOT = Path(__file__).parents[2]

TASKS = "\n".join(
    f"- {text}" for text in ("List all images", "Stop a container", "Say what a volume is", "Copy a file")
)
STATE = {
    "type": "function",
    "function": {
        "name": "state",
        "description": "State of a container",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
SCENARIOS = [
    {"scenario": "You wonder whether the container web1 is up.", "tools": [STATE]},
    {"scenario": "You need a name for a cat.", "system": "Be brief."},
]


def project(folder: Path) -> Paths:
    """Seed tasks, scenarios and documents in a folder of one's own."""
    for name in ("tasks", "scenarios", "documents"):
        (folder / "data" / name).mkdir(parents=True)
    (folder / "data/tasks/tasks.yaml").write_text(TASKS)
    (folder / "data/scenarios/scenarios.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in SCENARIOS))
    for name, thing in (("a", "image"), ("b", "network"), ("c", "volume")):
        text = f"# The {thing}\n\nAn {thing} {name} is kept in store {name}{name} until someone removes it by name.\n"
        (folder / f"data/documents/{name}.md").write_text(
            text + f"\n## Limits of the {thing}\n\n" + f"{thing}s end. " * 20
        )
    return Paths(folder)


def settings(recipe: str, base_url: str, **more: Any) -> Settings:
    """Settings of a recipe with the teacher at `base_url`; keys of the section `teacher` in `teacher`."""
    folder = {"documents": "documents", "dialogues": "scenarios"}.get(recipe, "tasks")
    teacher = {"kind": "openai", "base_url": base_url, "model": "good", "temperature": 0.7, "seed": 5,
               "max_retries": 0, **more.pop("teacher", {})}  # fmt: skip
    magpie = {"opening": "qwen2"} if recipe == "magpie" else {}
    return Settings.model_validate(
        {"recipe": recipe, "input": f"data/{folder}", "rows": 6, "max_loss": 1, "near_duplicate": None,
         "teacher": teacher, "magpie": magpie, **more}
    )  # fmt: skip


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def ledger(paths: Paths) -> dict[str, Any]:
    """The stage's ledger, after checking that it adds up."""
    read: dict[str, Any] = json.loads((paths.generated / "ledger.json").read_text())
    assert read["in"] == sum(read["out"].values()) + sum(read["left"].values())
    assert read["in"] == sum(len(lines(paths.generated / name)) for name in ("rows.jsonl", "left_out.jsonl"))
    return read


def outputs(paths: Paths) -> dict[str, bytes]:
    """Everything that the stage wrote, by name."""
    files = [paths.responses, *sorted(paths.generated.iterdir())]
    return {file.name: file.read_bytes() for file in files}


def requests(server: Server) -> int:
    """Requests that a server has got."""
    return len(server.asked)


def start(paths: Paths, chosen: Settings) -> psutil.Popen:
    """The stage as a process of its own, as DVC starts it."""
    (paths.root / "params.yaml").write_text(json.dumps({"generate": chosen.model_dump(mode="json")}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return psutil.Popen([sys.executable, "-m", "tasks", "generate"], cwd=paths.root, env=environment)
