"""Fine-tune the base on the templated rows.

    python -m tasks train

In: data/base, data/templated. Out: data/trained (the adapter, or the whole model; `loss.csv`, `training.json`,
`settings.json`; with `enabled: false` only that, and a curve without points). A run that was killed goes on from its
last checkpoint and ends in the same bytes.
"""

from tasks.contract.files import write_json, write_text, written
from tasks.contract.paths import Paths
from tasks.train import usage
from tasks.train.curve import curve
from tasks.train.settings import Settings

__all__ = ["Settings", "refuse", "run"]


def refuse(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    if not settings.enabled or not (settings.arguments or settings.peft):
        return  # all else is known to fit, without seconds of imports
    from tasks.train import trainer

    trainer.refuse(settings, paths.scratch("train"))


def run(settings: Settings, paths: Paths) -> None:
    """Train, check and save; see the module's docstring."""
    from tasks.train import launch

    if not settings.enabled:
        with written(paths.fitted) as out:
            out.mkdir()
            write_text(out / "loss.csv", curve([]))
            write_json(out / "settings.json", settings.model_dump(mode="json"))
        usage.forget(paths, "train")
        print("train: off; what the stage align makes of the base is what goes on")
        return

    if settings.processes > 1 and not launch.started():
        launch.together("train", settings.processes)
        return
    from tasks.train.tune import tune

    tune(settings, paths)
