"""Write the rows of a run of the gallery into data/own: `python -m examples.gallery classifier`, `... multilabel` or
`... preferences`.

All draw from the grammar of the Docker assistant, and test on what training never saw: phrasings for the classifiers,
commands and phrasings for the preferences.
"""

import argparse
import csv
import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tasks.core.paths import PATHS
from tasks.generate.program import Request, load, splits

ROWS, VALIDATION, TEST = 2000, 100, 240

REMOVES = frozenset({"kill", "rm", "rmi", "volume_rm"})
LOOKS = frozenset(
    {
        "ps",
        "ps_all",
        "images",
        "network_ls",
        "volume_ls",
        "wait",
        "logs",
        "logs_tail",
        "inspect",
        "stats",
        "top",
        "port",
    }
)
"""Intents of data/seed/intents.yaml by what they do to what is there; all others change it."""

THINGS = {
    "images": frozenset({"images", "rmi", "pull", "push", "tag", "build"}),
    "networks": frozenset({"network_ls", "network_create", "network_connect"}),
    "volumes": frozenset({"volume_ls", "volume_create", "volume_rm", "run_volume"}),
}
"""Intents by what they are about beside containers."""

IMAGES = {"images": "image ls", "rmi": "image rm", "pull": "image pull", "push": "image push", "tag": "image tag"}
"""Commands of Docker that have a longer, newer form; so do those of containers, where `ps` is `container ls`."""


def drawn() -> dict[str, list[Request]]:
    """Requests by split: train, validation, and the two slices of the test."""
    return splits(load(PATHS.seed), ROWS, VALIDATION, TEST, seed=7)


def effect(intent: str) -> str:
    """What a request of this intent does: the class of the classifier."""
    return "removes" if intent in REMOVES else "looks" if intent in LOOKS else "changes"


def labels(intents: Iterable[str]) -> list[str]:
    """What requests of these intents do and are about, sorted: the classes of the other classifier; often none."""
    effects = {effect(intent) for intent in intents} - {"looks"}
    return sorted(effects | {thing for thing, kinds in THINGS.items() if not kinds.isdisjoint(intents)})


def long_form(command: str) -> str | None:
    """`docker container stop web` for `docker stop web`; None where a command has one form only."""
    name, _, rest = command.removeprefix("docker ").partition(" ")
    if name in ("network", "volume", "compose", "build"):
        return None
    longer = IMAGES.get(name) or re.sub(r"^ps$", "ls", name).join(["container ", ""])
    return f"docker {longer} {rest}".strip()


def classifier(folder: Path) -> None:
    """Texts with a class each, a table a split."""
    groups = drawn()
    for split, requests in (
        ("train", groups["train"] + groups["validation"]),
        ("test", groups["new_combination"] + groups["new_phrasing"]),
    ):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["text", "label"])
            table.writerows([request.request, effect(request.intent)] for request in requests)


def multilabel(folder: Path) -> None:
    """Texts with any number of classes each: a request, or two in one sentence; a file a split."""
    groups, source = drawn(), random.Random(7)
    for split, requests in (
        ("train", groups["train"] + groups["validation"]),
        ("test", groups["new_combination"] + groups["new_phrasing"]),
    ):
        rows = [[one, source.choice(requests)] if source.random() < 0.5 else [one] for one in requests]
        _write(
            folder / f"{split}.jsonl",
            (
                {"text": ", then ".join(one.request for one in row), "labels": labels([one.intent for one in row])}
                for row in rows
            ),
        )


def preferences(folder: Path) -> None:
    """Answers in either form, as if two people had written them; pairs that prefer the long one; a test of it."""
    groups = drawn()
    source = random.Random(7)
    both = [(request, long_form(request.command)) for request in groups["train"] + groups["validation"]]
    answered, compared = both[: len(both) * 3 // 4], both[len(both) * 3 // 4 :]
    tests = [(request, long_form(request.command)) for request in groups["new_combination"] + groups["new_phrasing"]]
    _write(
        folder / "rows.jsonl",
        (
            {"prompt": request.request, "completion": source.choice([request.command, longer or request.command])}
            for request, longer in answered
        ),
    )
    _write(
        folder / "pairs.jsonl",
        (
            {"prompt": request.request, "chosen": longer, "rejected": request.command}
            for request, longer in compared
            if longer
        ),
    )
    _write(
        folder / "test.jsonl",
        ({"prompt": request.request, "completion": longer} for request, longer in tests if longer),
    )


def _write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m examples.gallery", description=__doc__)
    runs = {"classifier": classifier, "multilabel": multilabel, "preferences": preferences}
    parser.add_argument("run", choices=sorted(runs))
    run = parser.parse_args(arguments).run
    folder = PATHS.own / run
    folder.mkdir(parents=True, exist_ok=True)
    runs[run](folder)
    print(f"{folder} has {', '.join(sorted(file.name for file in folder.iterdir()))}.")


if __name__ == "__main__":
    main()
