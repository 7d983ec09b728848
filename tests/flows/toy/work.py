"""The toy's one program: `python work.py STAGE [ITEM]` reads its section of params.yaml and writes one small output.

With TOY_GATE=FOLDER, a stage for which there is a file FOLDER/hold-STAGE writes its pid to FOLDER/pid-STAGE and waits
until the file is gone; one for which there is FOLDER/fail-STAGE fails. What generate has on no record it pays for, with
a line in FOLDER/paid. A stage ends with its parent, as temper's stages do.
"""

import ctypes
import hashlib
import json
import os
import re
import signal
import sys
import time
from itertools import takewhile
from pathlib import Path

OUT = {
    "base": "data/base/model.txt",
    "generate": "data/generated/rows.txt",
    "clean": "data/clean/train.txt",
    "train": "data/trained/weights.txt",
    "merge": "data/merged/model.txt",
    "quantize": "data/quantized/{item}/model.txt",
    "evaluate": "data/evaluation/{item}/scores.txt",
    "report": "data/report/report.html",
}
INPUTS = {
    "base": ["data/seed"],
    "generate": ["data/seed"],
    "clean": ["data/generated"],
    "train": ["data/base", "data/clean/train.txt"],
    "merge": ["data/base", "data/trained"],
    "quantize": ["data/merged"],
    "evaluate": ["data/quantized/{item}"],
    "report": ["data/evaluation", "data/quantized"],
}


def section(name: str) -> list[str]:
    """The words of a section of params.yaml, without its comments; parsing YAML would take longer than the rest."""
    lines = iter(Path("params.yaml").read_text().splitlines())
    head = next(line for line in lines if line.startswith(f"{name}:"))
    body = takewhile(lambda line: not line[:1].isalpha(), lines)
    return [word for line in (head, *body) for word in re.sub(r"(^|\s)#.*", "", line).split()]


def replay(answer: str, gate: Path) -> None:
    """Have the answer from the record, from those that were lent, or pay for it."""
    own = Path("data/responses.jsonl")
    kept = own.read_text().splitlines(keepends=True) if own.exists() else []
    if answer not in kept and not any(answer in file.read_text() for file in Path("data/scratch/records").glob("*")):
        with (gate / "paid").open("a") as paid:
            paid.write(answer)
    own.write_text("".join(sorted({*kept, answer})))


def main(stage: str, item: str = "") -> int:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    name = f"{stage}{item and '-' + item}"
    print(f"{name} works", flush=True)
    settings = section(stage)
    gate = Path(os.environ.get("TOY_GATE", "."))
    if "TOY_GATE" in os.environ:
        with (gate / f"count-{name}").open("a") as count:
            count.write("x")
    if os.environ.get("TEMPER_PROGRESS") == "json":
        state = {"what": stage, "done": 1, "total": 2, "unit": "steps", "figures": {"loss": 0.5}}
        print(f"::progress {json.dumps(state)}", flush=True)
    if (gate / f"hold-{name}").exists():
        (gate / f"pid-{name}").write_text(str(os.getpid()))
        while (gate / f"hold-{name}").exists():
            time.sleep(0.02)
    if (gate / f"fail-{name}").exists():
        who = " ".join(sys.argv[1:])
        text = f"{who}: the toy was told to fail.\n  Remove {gate.name}/fail-{name}."
        if os.environ.get("TEMPER_ERRORS") == "json":
            print(f"::error {json.dumps({'class': 'StageFailed', 'sentence': text, 'again': False})}", flush=True)
        else:
            print(text, file=sys.stderr)
        return 1
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in INPUTS[stage]:
        source = Path(path.format(item=item))
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file():
                digest.update(f"{file}\n".encode() + file.read_bytes())
    out = Path(OUT[stage].format(item=item))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(digest.hexdigest() + "\n")
    if stage == "generate":
        replay(json.dumps({"key": digest.hexdigest(), "response": {}}) + "\n", gate)
    if stage == "clean":
        ledger = {"unit": "rows", "in": 3, "out": {"train": 2}, "left": {"empty": 1}}
        Path("data/clean/ledger.json").write_text(json.dumps(ledger))
    if stage == "train":
        (out.parent / "loss.csv").write_text("step,loss,eval_loss\n1,2.0,\n2,1.0,1.5\n")
    if stage in {"merge", "quantize"}:
        close = {"max_logit_difference": 0.25, "kl_per_token": 0.001, "same_greedy_token": 1.0, "same_stops": 1.0}
        kind = {"merge": "merge", "quantize": "quantization"}[stage]
        (out.parent / f"{kind}.json").write_text(json.dumps({**close, "tokens": 64}))
    if stage == "report":
        out.write_text(f"<!doctype html>\n<body>\n{out.read_text()}</body>\n")
        (out.parent / "model_card.md").write_text("---\nlicense: apache-2.0\n---\n\n# Toy\n\nA model of nothing.\n")
        score = {"exact_match": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}}
        (out.parent / "comparison.json").write_text(json.dumps({"candidates": {"base": score, "merged": score}}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
