"""Align the tuned model, or the base, with preferences; or train a reward model on them.

    python -m tasks align

In: data/base, data/trained, data/templated (preferences, judged, tokenizer). Out: data/aligned: as data/trained, and
the stages below use it in its place; with `objective: reward` the reward model in `reward/` beside the curve, with
`objective: off` nothing but `settings.json` and a curve without points, and those stages use data/trained.
"""

import os

from tasks.align.settings import SAMPLED, Settings
from tasks.contract.files import write_json, write_text, written
from tasks.contract.paths import Paths
from tasks.train import usage
from tasks.train.curve import curve

__all__ = ["Settings", "refuse", "run"]

# trl warns whoever imports ORPO or CPO that they may change; the version is exact here, and tests look at both
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def refuse(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    if settings.objective == "off" or not (settings.arguments or settings.peft or settings.objective in SAMPLED):
        return  # all else is known to fit, without seconds of imports
    from tasks.align import arguments

    arguments.refuse(settings, paths)


def run(settings: Settings, paths: Paths) -> None:
    """Train, check and save; see the module's docstring."""
    if settings.objective == "off":
        with written(paths.aligned) as out:
            out.mkdir()
            write_text(out / "loss.csv", curve([]))
            write_json(out / "settings.json", settings.model_dump(mode="json"))
        usage.forget(paths, "align")
        print("align: off; what the stage train made is what goes on")
        return
    from tasks.align.align import align

    align(settings, paths)
