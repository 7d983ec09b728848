"""Section `train` of params.yaml."""

from tasks.training.settings import Supervised


class Settings(Supervised):
    """The section `train`."""

    enabled: bool = True
    """Whether anything is trained on rows; without it, `align.start: base` makes the tuned model."""
