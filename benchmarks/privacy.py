"""`privacy`: private values found in labelled texts, against other libraries; and what looking for them costs.

The texts are those of the tests: `tuning`, which rules were made by, and `held_out`, which was written before them.
Recall is the share of values that a finding of the right kind covers from end to end, precision the share of findings
that touch such a value. The others are looked for in the environment whose folder is in TEMPER_PEERS, and are measured
on the kinds that they know. Speed is that of texts of 500 characters, one thread.
"""

import json
import os
import random
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.checkout import Failed
from benchmarks.child import measured
from benchmarks.clean import write
from benchmarks.finders import FINDERS
from benchmarks.result import Result
from tests.tasks.clean.privacy.labelled import PARTS, Labelled, load
from tests.tasks.clean.privacy.labelled import measure as score

GOAL = 0.05
"""Share of the held-out values that may be missed."""

PRECISION = 0.97

LENGTH = 500
"""Characters of a text whose time is taken."""

ROWS, ROUNDS = {False: 20_000, True: 200_000}, 3


def measure(full: bool) -> Result:
    """Every library on the same texts, then `clean` with and without."""
    peers = Path(os.environ.get("TEMPER_PEERS", "")) / "bin/python"
    parts = {part: load(part) for part in PARTS}
    libraries: dict[str, Any] = {}
    missing: dict[str, str] = {}
    with TemporaryDirectory(prefix="temper-privacy-") as folder:
        texts = Path(folder) / "texts.json"
        texts_of = {part: [labelled.text for labelled in labels] for part, labels in parts.items()}
        texts.write_text(json.dumps({**texts_of, "ordinary": _ordinary()}))
        for name, (_, kinds) in FINDERS.items():
            try:
                python = Path(sys.executable) if name == "temper" else peers
                libraries[name] = _summary(measured("benchmarks.finders", name, texts, python=python), parts, kinds)
            except (OSError, Failed) as error:
                if name == "temper":
                    raise
                missing[name] = str(error).splitlines()[-1]
        cost = _cost(Path(folder), ROWS[full])
    ours = libraries["temper"]["held_out"].values()
    values, right = sum(kind["values"] for kind in ours), sum(kind["recall"] * kind["values"] for kind in ours)
    missed = 1 - right / values
    ok = missed <= GOAL and all(kind["precision"] >= PRECISION for kind in ours)
    detail = {"precision_goal": PRECISION, "libraries": libraries, "missing": missing, "clean": cost}
    return Result("privacy", round(missed, 4), "of held-out values missed", GOAL, ok, detail)


def _summary(answer: dict[str, Any], parts: dict[str, list[Labelled]], kinds: tuple[str, ...]) -> dict[str, Any]:
    summary: dict[str, Any] = {"microseconds_a_text": round(answer["seconds"] / len(_ordinary()) * 1e6, 1)}
    for part, texts in parts.items():
        spans = {labelled.text: spans_found for labelled, spans_found in zip(texts, answer[part], strict=True)}
        scores = score(texts, spans.__getitem__)
        summary[part] = {
            kind: {
                "values": one.labels,
                "recall": round(one.recall, 3),
                "precision": round(one.precision, 3),
                "findings": one.findings,
            }
            for kind, one in scores.items()
            if kind in kinds
        }
    return summary


def _ordinary() -> list[str]:
    """Texts with no private value but much that looks like one: a harmless one of the tuning part and words each."""
    source = random.Random(0)
    harmless = [labelled.text for labelled in load("tuning") if not labelled.spans]
    words = "the a of to and in that it with for is on as was by this be from or at".split()  # noqa: SIM905
    texts = []
    for _ in range(500):
        text = source.choice(harmless)
        while len(text) < LENGTH:
            text += " " + source.choice(words) + " " + "".join(source.choices("etaoinshrdlu", k=source.randint(3, 9)))
        texts.append(text[:LENGTH])
    return texts


def _cost(folder: Path, rows: int) -> dict[str, Any]:
    """Processor seconds of `clean` on rows of random words, with every kind off and reported, in turns."""
    write(folder / "rows.jsonl", rows)
    seconds: dict[str, list[float]] = {"off": [], "report": []}
    for _ in range(ROUNDS):
        for action, taken in seconds.items():
            taken.append(measured("benchmarks.privacy", folder, action)["seconds"])
    off, report = median(seconds["off"]), median(seconds["report"])
    return {"rows": rows, "seconds_off": off, "seconds_report": report, "share": round(1 - off / report, 3)}


def main(folder: Path, action: str) -> None:
    """Run the stage on `folder`; print seconds of the processor."""
    import time

    from tasks.clean.privacy import KINDS
    from tasks.clean.settings import Settings
    from tasks.clean.stage import run
    from tasks.core.paths import Paths

    settings = {"input": "rows.jsonl", "test_share": 0.01, "max_loss": 1, "privacy": dict.fromkeys(KINDS, action)}
    start = time.process_time()  # others' work on the processors does not count
    run(Settings.model_validate(settings), Paths(folder))
    print(json.dumps({"seconds": round(time.process_time() - start, 2)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
