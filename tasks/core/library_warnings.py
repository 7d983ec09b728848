"""What libraries warn of goes on to the reader, once each, but for what is known to mean nothing here.

A library's warning may be the only sign that a result is wrong, so none is muted as a whole.
"""

import logging
import re
import sys
from typing import TextIO

from tasks.core.progress import end_bar

LIBRARIES = frozenset(
    {"transformers", "datasets", "trl", "peft", "accelerate", "bitsandbytes", "lm_eval", "lm-eval", "DeepSpeed"}
)
"""Whose loggers are listened to."""

HARMLESS = {
    "Setting `pad_token_id` to `eos_token_id`": "temper masks padding by position",
    "Token indices sequence length is longer than": "every row is measured against the limit that counts",
    "use_cache=True` is incompatible with gradient checkpointing": "transformers switches it off itself",
    "generation flags are not valid and may be ignored": "sampling settings of a base that is asked without sampling",
    "The tokenizer has new PAD/BOS/EOS tokens": "the stop tokens are reconciled and proved by the stage template",
    "inputs will be cast from .* to float16 during quantization": "said at every call of every layer in int8",
    "The attention mask is not set and cannot be inferred": "rows are asked with a mask, or alone",
    "None of PyTorch, TensorFlow >= 2.0, or Flax|PyTorch was not found": "stages about texts load no torch on purpose",
    "`torch_dtype` is deprecated": "of a name, not of a value",
    "Failed to load CPU gemm_4bit_forward": "another way to compute the same",
    "Setting accelerator to CPU": "accelerate loads DeepSpeed wherever it is installed, and it looks for a card",
    r"ForSequenceClassification LOAD REPORT(?!.*(?<!score\.weight) \| MISSING)": "a head is new before it is trained",
    "mtime may not be reliable": "checkpoints are then ordered by their number, as they should be",
}
"""Part of a message (a regular expression) -> why it means nothing here."""

_HARMLESS = re.compile("|".join(HARMLESS))


class _Teller(logging.Filter):
    """Tells warnings of a logger in temper's words, and keeps them from the library's own handlers."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass what is less than a warning; tell the rest once."""
        if record.levelno < logging.WARNING:
            return True
        message = " ".join(record.getMessage().split())
        if message not in self._told and not _HARMLESS.search(message):
            self._told.add(message)
            end_bar()
            print(f"{record.name.partition('.')[0]} warns: {message}", file=self._stream or sys.stdout, flush=True)
        return False


def tell_warnings(stream: TextIO | None = None) -> None:
    """Tell on `stream` (standard output) what the libraries' loggers warn of from now on; to be called before imports.

    tell_warnings(sys.stderr)  # a command whose output is for programs
    """
    teller, known = _Teller(stream), logging.getLoggerClass()

    class Logger(known):  # type: ignore[misc, valid-type]  # a class that is known only here
        """A logger that tells its warnings where it is one of a library."""

        def __init__(self, name: str, level: int = logging.NOTSET) -> None:
            super().__init__(name, level)
            if name.partition(".")[0] in LIBRARIES:
                self.addFilter(teller)

    logging.setLoggerClass(Logger)
