"""A project of `tiny` whose answers are classes: each request has one of four commands, 8 rows of each."""

import json
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.paths import Paths
from tasks.template import stage as template
from tests.tasks import tiny

CLASSES = ("docker logs -f", "docker rm -f", "docker start", "docker stop")
"""Sorted, as the head has them."""


def printed(program: str, folder: Path) -> str:
    """What lines of Python print in `folder`; they have nothing but themselves, and this process its libraries."""
    with redirect_stdout(StringIO()) as output, chdir(folder):
        exec(program, {})
    return output.getvalue()


def requests() -> list[list[dict[str, str]]]:
    """Thirty-two requests, each with the command without the name that it is for; the classes take turns."""
    return [
        [{"role": "user", "content": f"{verb} {name}"}, {"role": "assistant", "content": command}]
        for name in tiny.NAMES
        for verb, command in tiny.ASKED.items()
    ]


def listing_requests() -> list[list[dict[str, str]]]:
    """As many requests, for one command, two or none of them, each with a JSON list of the commands."""
    verbs = [*tiny.ASKED]
    asked = [[one] for one in verbs] + [[one, verbs[0]] for one in verbs[1:]] + [[]]
    return [
        [
            {"role": "user", "content": " and ".join(f"{verb} {name}" for verb in several) or f"greet {name}"},
            {"role": "assistant", "content": json.dumps([tiny.ASKED[verb] for verb in several])},
        ]
        for name in tiny.NAMES
        for several in asked
    ][:32]


def project(root: Path, *, lists: bool = False, **shape: bool | str) -> Paths:
    """As `tiny.project` before training, with 20 rows to train on, 4 for validation and 8 for the test."""
    paths = tiny.project(root, method="none", **shape)  # type: ignore[arg-type]
    put(paths, listing_requests() if lists else requests())
    return paths


def put(paths: Paths, chats: list[list[dict[str, str]]], held_out: int = 12) -> None:
    """Split `chats` and template them; the last `held_out` are for validation and the test."""
    train = len(chats) - held_out
    parts = {"train": chats[:train], "validation": chats[train : train + held_out // 3]}
    parts["test"] = chats[train + held_out // 3 :]
    for split, part in parts.items():
        pq.write_table(tiny.rows(split, part), paths.clean / f"{split}.parquet")
    template.run(template.Settings(), paths)


def merge_another_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stage merge write a head that differs from the one that was trained."""
    from tasks.merge import headed
    from tasks.merge.whole import merge_whole

    def another(tuned: Any) -> Any:
        model = merge_whole(tuned)
        model.score.weight.data += 0.1
        return model

    monkeypatch.setattr(headed, "merge_whole", another)
