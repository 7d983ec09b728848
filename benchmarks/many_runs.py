"""A project of many runs: what `temper plan`, `temper compare` and its page take of the processor.

python -m benchmarks.many_runs                           2,000 experiments, 10,000 runs in DVC's cache
python -m benchmarks.many_runs --runs 500 --cached 500

The experiments are as deployed runs save them: params.yaml, dvc.lock, decision and comparison of each, and its answers
to 200 rows in DVC's cache. Nothing is trained.
"""

import argparse
import hashlib
import io
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.checkout import Checkout, checkout
from benchmarks.runs_page import measure, runs
from tasks.core.paths import PATHS
from tasks.core.yaml_files import parse

RUNS, CACHED, ROWS = 2_000, 10_000, 200

LOCKED = ("base", "clean", "template", "train", "merge", "evaluate-base", "evaluate-merged", "decide", "report")
"""Stages of a run's dvc.lock."""


def md5(text: str | bytes) -> str:
    """As DVC names objects."""
    return hashlib.md5(text.encode() if isinstance(text, str) else text, usedforsecurity=False).hexdigest()


def fill(root: Path, count: int, cached: int) -> None:
    """Write experiments into the repository at `root`, and runs and answers into its DVC cache."""
    pipeline = parse((root / PATHS.pipeline).read_text(), "safe", 10**6)["stages"]
    params = (root / PATHS.params).read_text()
    head = _git(root, "rev-parse", "HEAD").strip()
    stream = io.BytesIO()
    for number, (run, answers) in enumerate(runs(count, ROWS)):
        folder = _keep_answers(root, answers)
        rank, rate = run.settings["train.lora.r"], run.settings["train.learning_rate"]
        files = {
            PATHS.params.name: _changed(params, rank, rate),
            "dvc.lock": _lock(pipeline, number, folder),
            str(PATHS.decided): json.dumps(run.decision),
            str(PATHS.comparison): json.dumps(_comparison(run)),
        }
        ref = f"refs/exps/{head[:2]}/{head[2:]}/{run.name}"
        stream.write(_commit(ref, head, number, f"run {run.name}\n\nTook: {json.dumps(run.seconds)}", files))
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"], cwd=root, input=stream.getvalue(), check=True, capture_output=True
    )
    for number in range(cached):
        key, value = (hashlib.sha256(f"{name} {number}".encode()).hexdigest() for name in ("key", "value"))
        entry = root / ".dvc/cache/runs" / key[:2] / key / value
        entry.parent.mkdir(parents=True)
        entry.write_text(_stage("train", pipeline["train"], number, ""))


def _changed(params: str, rank: int, rate: float) -> str:
    document = (
        params.replace("\ntrain:", f"\ntrain:\n  lora: {{r: {rank}}}", 1) if "\n  lora:" not in params else params
    )
    lines = [
        f"  learning_rate: {rate}" if line.startswith("  learning_rate:") else line for line in document.split("\n")
    ]
    return "\n".join(f"  lora: {{r: {rank}}}" if line.startswith("  lora:") else line for line in lines)


def _comparison(run: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"candidates": {}, "benchmarks": {}}
    for key, score in run.scores.items():
        entry = {"value": score.value, "low": score.low, "high": score.high, "n": score.n, "better": "higher"}
        if key.task:
            document["benchmarks"].setdefault(key.candidate, {}).setdefault(key.task, {})[key.metric] = entry
        else:
            document["candidates"].setdefault(key.candidate, {})[key.metric] = entry
    return document


def _lock(pipeline: dict[str, Any], number: int, folder: str) -> str:
    stages = "".join(_stage(name, pipeline[name], number, folder) for name in LOCKED if name in pipeline)
    return f"schema: '2.0'\nstages:\n{stages}"


def _stage(name: str, declared: dict[str, Any], number: int, folder: str) -> str:
    lines = [f"  {name}:", f"    cmd: {declared['cmd']}", "    deps:"]
    for path in declared["deps"]:
        lines += [
            f"    - path: {path}",
            "      hash: md5",
            f"      md5: {md5(f'{path} {number % 50}')}",
            "      size: 4096",
        ]
    lines.append("    outs:")
    for out in (*declared.get("outs", ()), *declared.get("metrics", ())):
        path = out if isinstance(out, str) else next(iter(out))
        known = path == f"{PATHS.evaluation('merged')}" and folder
        own = 0 if path.startswith(str(PATHS.clean)) else number
        lines += [
            f"    - path: {path}",
            "      hash: md5",
            f"      md5: {known or md5(f'{path} {own}')}",
            "      size: 4096",
        ]
    return "\n".join([*lines, ""])


def _keep_answers(root: Path, answers: dict[str, Any]) -> str:
    """The name in DVC's cache of a folder with the predictions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": answers["ids"],
        "prompt": answers["prompts"],
        "reference": answers["references"],
        "output": answers["outputs"],
        **answers["scores"],
    }
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    listed = json.dumps([{"md5": _stored(root, content.getvalue()), "relpath": "predictions.parquet"}])
    return f"{_stored(root, listed.encode(), '.dir')}.dir"


def _stored(root: Path, content: bytes, suffix: str = "") -> str:
    name = md5(content)
    file = root / ".dvc/cache/files/md5" / name[:2] / f"{name[2:]}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o444)
    return name


def _commit(ref: str, parent: str, number: int, message: str, files: dict[str, str]) -> bytes:
    text = message.encode()
    who = f"ann <ann@localhost> {1_770_000_000 + 60 * number} +0000".encode()
    parts = [b"commit %s\nauthor %s\ncommitter %s\ndata %d\n%s\n" % (ref.encode(), who, who, len(text), text)]
    parts.append(f"from {parent}\n".encode())
    for path, content in files.items():
        encoded = content.encode()
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(encoded), encoded))
    return b"".join(parts)


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def processor(act: Callable[[], object]) -> float:
    """Seconds of the processor, of user and system, that the children of `act` took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    act()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def commands(place: Checkout) -> Iterator[tuple[str, float]]:
    """What each command takes: a median of three, but for the first time that answers are read."""
    yield "compare, the first time", processor(lambda: place.temper("compare"))
    for name, arguments in (("compare", ["compare"]), ("history", ["history"]), ("plan", ["plan"])):
        yield name, median(processor(lambda: place.temper(*arguments)) for _ in range(3))  # noqa: B023
    yield "python alone", median(processor(lambda: place.python("-c", "import flows.cli.main")) for _ in range(3))


def main() -> None:
    """Print what each command takes, and what Chromium's thread works for the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--cached", type=int, default=CACHED)
    options = parser.parse_args()
    with checkout(full=True) as place:
        fill(place.root, options.runs, options.cached)
        for name, seconds in commands(place):
            print(f"{name:28} {seconds:6.2f} s of the processor", flush=True)
        file = place.root / PATHS.runs
        print(f"the page                     {file.stat().st_size:,} bytes", flush=True)
        if (chromium := shutil.which("chromium")) is None:
            sys.exit("no chromium here: the page is not opened")
        from playwright.sync_api import sync_playwright

        with (
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]) as browser,
        ):
            taken = [measure(browser, file) for _ in range(3)]
        for name in taken[0]:
            print(f"page: {name:22} {1000 * median(each[name] for each in taken):6.0f} ms")


if __name__ == "__main__":
    main()
