"""What a training has measured since its last line of log, as each checkpoint keeps it.

transformers and trl log means over the steps since the last line, and forget at a resume what they had added up. A
checkpoint between two lines would then end in another curve of the loss. What they add up has private names: when an
upgrade moves one, mend it here.
"""

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

COLLECTED = ("_metrics", "_stored_metrics")
"""Where trl's trainers collect figures, by split and name."""


class UnloggedFigures(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Its state lies in each checkpoint's trainer_state.json, and is put back when the training goes on."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def state(self) -> dict[str, Any]:
        """The loss added up (nats), the step at which it was last logged, and trl's figures of training."""
        loss = getattr(self.trainer, "_tr_loss", None)
        figures = {
            place: {name: [float(value) for value in values] for name, values in split["train"].items()}
            for place in COLLECTED
            if "train" in (split := getattr(self.trainer, place, {}))
        }
        attributes = {
            "loss": 0.0 if loss is None else loss.item(),
            "logged": getattr(self.trainer, "_globalstep_last_logged", 0),
            "figures": figures,
        }
        return {"args": {}, "attributes": attributes}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put back what the checkpoint has; the trainer has just set it to nothing.

        One of several processes that trained together has nothing of this, and the trainer wants it to be there.
        """
        if not state.global_step:
            return
        name = type(self).__name__
        if name not in state.stateful_callbacks:
            state.stateful_callbacks[name] = self.state()
            return
        attributes = state.stateful_callbacks[name]["attributes"]
        self.trainer._tr_loss += attributes["loss"]
        self.trainer._globalstep_last_logged = attributes["logged"]
        for place, figures in attributes["figures"].items():
            for name, values in figures.items():
                getattr(self.trainer, place)["train"][name].extend(values)
