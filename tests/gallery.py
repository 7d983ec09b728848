"""The gallery in docs/gallery: finished runs with their reports as they came out.

    python -m tests.gallery [NAME ...]     make these runs anew, and the pages; default: all
    python -m tests.gallery --index        only thumbnails and index, of what docs/gallery has

All runs share a checkout, so the small base is trained once.

`test_gallery.py` judges the pages that are in git, and makes one run anew in the tier `long`.
"""

import argparse
import json
import re
import resource
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.checkout import HERE, Checkout, checkout
from benchmarks.server import prefect_server
from tasks.core.numbers import metric_name, shown
from tasks.core.paths import Paths
from tests.browser import CHROMIUM, FLAGS
from tests.flows.project import ROOT

FOLDER = ROOT / "docs/gallery"
FACTS = "runs.json"
"""In that folder: scores and times of its runs."""

HEAD = """# Gallery

These are finished runs, each with its report, unedited. Scores are from held-out rows that training never saw, with
their 95 % intervals. Minutes are CPU time of one core; on two cores a run takes a little more than half as long. The
first run trains the base of 2 million parameters; other runs with that base take it from the cache.

`make gallery` runs all of them again. GitHub shows only the source of a report, so open reports from a clone or from
the site.
"""

LOWER = ", lower is better"

SHARED = HERE.parent / "shared"
"""Public models and data, beside the checkout; two runs take theirs from there."""

APACHE = "Apache-2.0"
GRAMMAR = f"drawn from the grammar in `data/seed` ({APACHE})"
SMALL_BASE = f"a Llama of 2 million parameters, trained from `data/seed` ({APACHE})"
BESIDE = (
    "The recipe reads model and texts from `../shared/data`, beside the clone; put yours there, or change the paths."
)
STORIES = "stories260K, 260,032 parameters, trained on children's stories (MIT, Andrej Karpathy)"


@dataclass(frozen=True)
class Entry:
    """A run: what was asked, of what, and how it is repeated."""

    title: str
    asked: str
    data: str
    model: str
    recipe: str | None = None
    """File of the settings; None: params.yaml as it is."""
    rows: str | None = None
    """What `python -m examples.gallery` writes first."""
    note: str = ""
    """What a reader has to know to repeat it."""
    before: str = "base"
    """The candidate that the tuned model is compared with."""

    def commands(self) -> list[str]:
        """What repeats it in a clone."""
        first = [f"python -m examples.gallery {self.rows}"] if self.rows else []
        return [*first, "temper run" + (f" --recipe {self.recipe}" if self.recipe else "")]


ENTRIES = {
    "instructions": Entry(
        "Instructions",
        "Turn a request in plain English into the docker command for it. The held-out commands and phrasings were "
        "never seen in training.",
        f"3,000 rows, {GRAMMAR}",
        SMALL_BASE,
    ),
    "public-data": Entry(
        "A public model and public rows",
        "Docker commands again, this time from sentences that people wrote, with a model that only knows stories.",
        "2,483 rows of NLDockercommands (MIT)",
        STORIES,
        "recipes/stories260k-docker.yaml",
        note=BESIDE,
    ),
    "classifier": Entry(
        "A classifier",
        "Does this request look at something, change it or remove it? A classification head with three classes; the "
        "held-out phrasings were never seen in training.",
        f"2,100 texts, {GRAMMAR}",
        SMALL_BASE,
        "examples/gallery/classifier.yaml",
        rows="classifier",
    ),
    "multilabel": Entry(
        "A classifier of several labels",
        "What does this request do, and what is it about? Any number of five classes, by a head; a sentence may hold "
        "two requests.",
        f"2,100 texts, {GRAMMAR}",
        SMALL_BASE,
        "examples/gallery/multilabel.yaml",
        rows="multilabel",
    ),
    "preferences": Entry(
        "Preferences (DPO)",
        "Training rows answer in two forms, `docker stop web` and `docker container stop web`. Preference pairs teach "
        "the second.",
        f"1,575 rows and 431 pairs, {GRAMMAR}",
        SMALL_BASE,
        "examples/gallery/preferences.yaml",
        rows="preferences",
        before="trained",
    ),
    "continued-pretraining": Entry(
        "Continued pretraining",
        "Train on pages of a manual, and measure the perplexity of other pages.",
        f"197 pages of the docs of docker/cli ({APACHE}, Docker Inc.)",
        STORIES,
        "recipes/continued-pretraining.yaml",
        note=BESIDE,
    ),
    "ppo": Entry(
        "Reinforcement learning (PPO)",
        "Train the tuned assistant further, with only a reward for correct answers.",
        f"3,000 rows, {GRAMMAR}",
        SMALL_BASE,
        "recipes/ppo.yaml",
        before="trained",
    ),
}


def make(name: str, place: Checkout, folder: Path = FOLDER) -> None:
    """Run an entry in a checkout, and keep its report and what the index says of it."""
    entry = ENTRIES[name]
    if entry.rows:
        place.python("-m", "examples.gallery", entry.rows)
    before = _processor_seconds()
    place.temper("run", *(["--recipe", entry.recipe] if entry.recipe else []))
    keep(name, place.root, _processor_seconds() - before, folder)


@contextmanager
def room(api: str) -> Iterator[Checkout]:
    """A checkout, with what is public beside it."""
    with checkout(full=True, server=api) as place:
        if SHARED.is_dir():
            (place.root.parent / SHARED.name).symlink_to(SHARED)
        yield place


def _processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(name: str, root: Path, seconds: float, folder: Path = FOLDER) -> None:
    """Copy the pages of a finished run, and note its scores and the processor's `seconds`."""
    paths = Paths(root)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for page in (paths.page, paths.predictions):
        shutil.copyfile(page, folder / name / page.name)
    comparison, decision = (json.loads(file.read_text(encoding="utf-8")) for file in (paths.comparison, paths.decided))
    candidates, metric = comparison["candidates"], decision["metric"]
    facts = known(folder)
    facts[name] = {
        "seconds": round(seconds),
        "metric": metric,
        "before": candidates[ENTRIES[name].before][metric],
        "after": candidates[decision["candidate"]][metric],
    }
    kept = {each: facts[each] for each in ENTRIES if each in facts}
    (folder / FACTS).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def known(folder: Path = FOLDER) -> dict[str, Any]:
    """What is noted of each run, by its name."""
    file = folder / FACTS
    facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return facts


def thumbnail(page: Path, out: Path) -> None:
    """The upper part of a page, small."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium:
        tab = chromium.new_page(viewport={"width": 1100, "height": 760}, device_scale_factor=0.5)
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=out)


def index(folder: Path = FOLDER) -> str:
    """The page of the gallery, as Markdown."""
    facts = known(folder)
    lines = [HEAD, "| run | score on held-out rows | before | after | minutes |", "|---|---|---|---|---|"]
    for name, each in facts.items():
        entry = ENTRIES[name]
        anchor = re.sub(r"[^\w -]", "", entry.title.lower()).replace(" ", "-")
        metric = metric_name(each["metric"]) + (LOWER if each["after"]["better"] == "lower" else "")
        lines += [
            f"| [{entry.title}](#{anchor}) | {metric} "
            f"| {entry.before} {_score(each['before'])} | {_score(each['after'])} | {_minutes(each['seconds'])} |"
        ]
    for name in facts:
        entry = ENTRIES[name]
        commands = "\n".join(entry.commands())
        settings = f"`{entry.recipe}`" if entry.recipe else "`params.yaml` as it is"
        lines += [
            *("", f"## {entry.title}", ""),
            *(entry.asked, ""),
            *(f"[![The report of this run]({name}/thumbnail.png)]({name}/report.html)", ""),
            f"- Data: {entry.data}.",
            f"- Model: {entry.model}.",
            f"- Settings: {settings}.",
            f"- [Report]({name}/report.html), [all answers]({name}/predictions.html).",
            *([f"- {entry.note}"] if entry.note else []),
            *("", "```bash", commands, "```"),
        ]
    return "\n".join(lines) + "\n"


def _score(value: dict[str, Any]) -> str:
    low, high = (shown(value[end], 3) for end in ("low", "high"))
    return f"{shown(value['value'], 3)} ({low} to {high})"


def _minutes(seconds: float) -> str:
    return shown(seconds / 60, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, make the runs that it names, and the pages."""
    parser = argparse.ArgumentParser(prog="python -m tests.gallery", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a run to make: {', '.join(ENTRIES)}; default: all")
    parser.add_argument("--index", action="store_true", help="make no run: the index only, of what is there")
    options = parser.parse_args(arguments)
    if strange := set(options.names) - set(ENTRIES):
        parser.error(f"no such run: {', '.join(sorted(strange))}; there are {', '.join(ENTRIES)}")
    if not options.index:
        with prefect_server() as api, room(api) as place:
            for name in (each for each in ENTRIES if each in options.names or not options.names):
                make(name, place)
                print(f"{name}: {_minutes(known()[name]['seconds'])} minutes of one core", flush=True)
    for name in known():
        thumbnail(FOLDER / name / "report.html", FOLDER / name / "thumbnail.png")
    (FOLDER / "index.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    main()
