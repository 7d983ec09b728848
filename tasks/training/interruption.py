"""Ctrl-C, `kill` or a closed terminal in a training: a checkpoint of the step that it is at, and then the end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any

from transformers import TrainerCallback

from tasks.core.progress import note
from tasks.training.methods import METHODS
from tasks.training.optimizers import UNSAVED
from tasks.training.private_figures import UnloggedFigures
from tasks.training.settings import Optimization
from tasks.training.tuning_settings import Tuning

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a process to end."""


class _Saved(BaseException):
    """The checkpoint is complete. Not an error: nobody in between handles it."""


class Interruption(TrainerCallback):  # type: ignore[misc]
    """To be added behind the callback that seals checkpoints.

    `every`: a checkpoint can only be made at multiples of so many steps.
    """

    def __init__(self, what: str, every: int = 1) -> None:
        self.what, self.every = what, every
        self.number: int | None = None
        """The signal that asked to end."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.number is not None and (state.global_step % self.every == 0 or state.global_step == state.max_steps):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The trainer has written everything that a training needs to go on."""
        if self.number is not None:
            note(
                f"{self.what}: stopped at step {state.global_step:,} of {state.max_steps:,}, and wrote a checkpoint; "
                "the next run resumes from there."
            )
            raise _Saved

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Within the block the first signal waits for a checkpoint, and the same one again ends the process at once.

        At its end the process ends as it would have by the signal. Signals that this process was started to ignore
        stay ignored.
        """
        if threading.current_thread() is not threading.main_thread():  # others get no signals
            yield
            return
        before = {number: signal.getsignal(number) for number in ASKING}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._notice)
        try:
            yield
        except _Saved:
            pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.number is not None:
            end_by(self.number)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        if number == self.number:  # Ctrl-C reaches a stage of `temper run` as SIGINT, then as SIGTERM of the run
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.number = self.number or number


def ending(what: str, trainer: Any, settings: Optimization, together: int) -> AbstractContextManager[None]:
    """What a signal does while `trainer` trains: where a checkpoint can be resumed, it leaves one.

    `together`: see `loop.Workload`. Processes that train together end at once: they get the signal at different steps.
    """
    resumes = METHODS[settings.method].resumes if isinstance(settings, Tuning) else True
    if trainer.args.world_size > 1 or not resumes or settings.optimizer in UNSAVED:
        return nullcontext()
    trainer.add_callback(UnloggedFigures(trainer))
    interruption = Interruption(what, together)
    trainer.add_callback(interruption)
    return interruption.noticed()


def end_by(number: int) -> None:
    """End as a process does that a signal ends: by `KeyboardInterrupt` for Ctrl-C, else at once."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
