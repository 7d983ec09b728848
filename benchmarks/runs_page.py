"""The page of `temper compare` with many runs: what it costs in Chromium to open, sort, search and pin.

python -m benchmarks.runs_page    500 runs of 200 rows
"""

import hashlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from flows.compare import page as pages
from flows.compare.answers import Packed
from flows.compare.production import Promotion
from flows.compare.runs import Run
from flows.compare.scores import from_comparison
from tests.flows.compare.made import score

BASES = {"SmolLM2-135M-Instruct": 0.05, "Qwen2.5-0.5B-Instruct": 0.2, "Llama-3.2-1B-Instruct": 0.28}
WORDS = ("start", "stop", "inspect", "rm --force", "logs")
NAMES = ("brave-otter", "calm-heron", "swift-lynx", "quiet-crane")
ACTS = {
    "sort": "document.querySelector('[data-key=score] button').click()",
    "search": "var box = document.getElementById('search'); box.value = 'r>8'; box.dispatchEvent(new Event('input'))",
    "search nothing": "box.value = ''; box.dispatchEvent(new Event('input'))",
    "pin": "document.querySelectorAll('.pin')[3].click()",
    "pin another": "document.querySelectorAll('.pin')[5].click()",
}


def runs(count: int, rows: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Runs, the newest first, and their answers: a higher rank helps, a high rate does not."""
    chance = random.Random(7)
    references = [f"docker {chance.choice(WORDS)} web{number}" for number in range(rows)]
    for number in range(count, 0, -1):
        base, rank = chance.choice(list(BASES)), chance.choice([4, 8, 16, 32])
        rate = chance.choice([1e-4, 2e-4, 5e-4, 1e-3, 2e-3])
        share = min(0.97, 0.35 + BASES[base] + 0.005 * rank - (0.25 if rate > 1e-3 else 0) + chance.gauss(0, 0.03))
        right = [chance.random() < share for _ in range(rows)]
        value = sum(right) / rows
        answers = {
            "ids": [f"row{at}" for at in range(rows)],
            "prompts": [f"What would you type for container web{at}?" for at in range(rows)],
            "references": references,
            "outputs": [
                reference if good else f"docker {chance.choice(WORDS)} db{at % 7}"
                for at, (good, reference) in enumerate(zip(right, references, strict=True))
            ],
            "scores": {"exact_match": [float(good) for good in right]},
        }
        yield _run(number, base, rank, rate, value), answers


def _run(number: int, base: str, rank: int, rate: float, value: float) -> Run:
    before = score(BASES[base])
    gain, tuned = value - before["value"], score(round(value, 3))
    against = f"merged against base: {gain:+.4f} in exact_match (p = 0.0710 over all metrics); wanted: at least 0.3."
    decision = {
        "promote": gain >= 0.3,
        "reason": "every rule holds." if gain >= 0.3 else against,
        "candidate": "merged",
        "metric": "exact_match",
        **{key: tuned[key] for key in ("value", "low", "high", "n")},
        "gain": gain,
        "p": 0.001 if gain >= 0.3 else 0.071,
        "rules": {"gain over base": {"passed": gain >= 0.3}},
    }
    comparison = {
        "candidates": {"base": {"exact_match": before}, "merged": {"exact_match": tuned}},
        "benchmarks": {"base": {"arc_easy": {"acc": score(0.4)}}, "merged": {"arc_easy": {"acc": score(0.39)}}},
    }
    return Run(
        f"{NAMES[number % len(NAMES)]}-{number:03}",
        hashlib.sha1(bytes([number % 256, number // 256])).hexdigest(),
        who="ann",
        when=f"2026-03-{1 + number * 27 // 501:02}T10:{number % 60:02}:00+00:00",
        decision=decision,
        settings={"base.hub": base, "train.lora.r": rank, "train.learning_rate": rate, "machine.price": 2.5},
        changed=[f"train.lora.r 8 -> {rank}", f"train.learning_rate 0.0005 -> {rate}"],
        scores=from_comparison(comparison),
        outs={"clean": {"data/clean/test.parquet": "a" * 32}},
        seconds={"train": 400.0 + 20 * rank},
    )


@contextmanager
def written(count: int, rows: int) -> Iterator[Path]:
    """The page of `count` runs in a folder of its own."""
    packed, by_commit, kept = Packed(), {}, []
    for run, answers in runs(count, rows):
        by_commit[run.commit] = {"merged": packed.add(answers, answers, "exact_match")}
        kept.append(run)
    now = Promotion("production", 1, kept[2].commit, "v0.1.0", False, "ann", kept[2].when, "", "", "", True)
    with (
        patch.object(pages, "answers", lambda _: (packed.as_json(), by_commit)),
        patch.object(pages, "promotions", lambda: [now]),
    ):
        text = pages.html({**pages.page_data(kept), "project": "docker-assistant"})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runs.html"
        file.write_text(text, encoding="utf-8")
        yield file


def measure(browser: Any, file: Path) -> dict[str, float]:
    """Seconds that the page's thread worked, apart from those in which it waited, to open the page and for each act."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    tab.goto(file.as_uri())
    tab.wait_for_selector("body[data-ready]")
    seconds = {"open": worked()}
    for name, act in ACTS.items():
        before = worked()
        session.send("Runtime.evaluate", {"expression": f"{act}; document.body.offsetHeight"})
        time.sleep(0.5)  # the charts follow when nobody types
        seconds[name] = worked() - before
    tab.close()
    return seconds


def main() -> None:
    """Measure."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu"]
    with (
        written(500, 200) as file,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags) as browser,
    ):
        taken = [measure(browser, file) for _ in range(3)]
        print(f"{file.stat().st_size:,} bytes")
        for name in taken[0]:
            print(f"{name:15} {1000 * median(each[name] for each in taken):6.0f} ms")


if __name__ == "__main__":
    main()
