"""Checkpoints of a model that processes share, in the place of transformers' own, which refuses to write them.

Each process writes what it holds by torch's distributed checkpoint, and any number of processes reads it again. What
transformers' trainer calls for this are private names: when an upgrade moves one, mend it here.
"""

from pathlib import Path
from typing import Any

import torch

from tasks.models.private_peft import without_card
from tasks.training import distributed, universal

WEIGHTS, STATES = "weights", "optimizer"
"""Folders of a checkpoint."""

SCHEDULER = "scheduler.pt"


class SharedCheckpoints:
    """Before a `Trainer` among the bases: where `shared` is set, processes write and read their shares."""

    shared = False
    is_deepspeed_enabled: bool
    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """All that a run needs to go on: trained weights, optimiser, scheduler, random numbers."""
        if self.is_deepspeed_enabled and _internal_call:
            Path(output_dir or "").mkdir(parents=True, exist_ok=True)  # the engine writes the weights with the states
            return
        if not self.shared:
            with without_card(self.model):
                super().save_model(output_dir, _internal_call)  # type: ignore[misc]
            return
        from torch.distributed.checkpoint.state_dict_saver import save

        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save(self._trained(), checkpoint_id=folder / WEIGHTS)
        save(self._states(), checkpoint_id=folder / STATES)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), folder / SCHEDULER)
        self._save_rng_state(str(folder))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write none: trl makes one anew with each checkpoint, and nobody reads it there."""

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)  # type: ignore[misc]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self.shared:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
            return
        self._read_weights(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.shared or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
            if checkpoint and universal.is_chosen(self):
                self._leave_universal(Path(checkpoint))
            return
        from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict
        from torch.distributed.checkpoint.state_dict_loader import load

        states = self._states()
        load(states, checkpoint_id=Path(checkpoint) / STATES)
        set_optimizer_state_dict(self.model, _inner(self.optimizer), states)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER, weights_only=True))

    def _leave_universal(self, checkpoint: Path) -> None:
        """Put away what only the reading by another number of processes needed, and mend what it left."""
        optimizer = _inner(_inner(self.optimizer))
        if isinstance(optimizer, torch.optim.SGD):
            optimizer.state.clear()
        for states in optimizer.state.values():  # ZeRO-3 gives all groups one counter, which each would then advance
            states["step"] = states["step"].clone()
        distributed.wait()
        if not distributed.rank():
            universal.forget(checkpoint)

    def _load_best_model(self) -> None:
        if not self.shared:
            super()._load_best_model()  # type: ignore[misc]
            return
        self._read_weights(Path(self.state.best_model_checkpoint))

    def _trained(self) -> dict[str, Any]:
        """The weights that are trained, this process's shares of them."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        return dict(get_model_state_dict(self.model, options=StateDictOptions(ignore_frozen_params=True)))

    def _states(self) -> dict[str, Any]:
        """The optimiser's states, this process's shares of them, by the names of the weights."""
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        return dict(get_optimizer_state_dict(self.model, _inner(self.optimizer)))

    def _read_weights(self, folder: Path) -> None:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
        from torch.distributed.checkpoint.state_dict_loader import load

        weights = self._trained()
        load(weights, checkpoint_id=folder / WEIGHTS)
        set_model_state_dict(self.model, weights, options=StateDictOptions(strict=False))


def _inner(optimizer: Any) -> Any:
    """torch's own optimiser, without accelerate's around it."""
    return getattr(optimizer, "optimizer", optimizer)
