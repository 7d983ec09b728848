"""What passes of a training took of memory, kept in data/prices: a training like it need not try them again.

Trying them costs as much as several steps, and says the same for as long as nothing changes that decides it: model,
method, the longest item, batch, libraries, code, machine. Whoever resumes, repeats or changes a learning rate has them.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from platform import python_version
from typing import Any

import torch

from tasks.core.files import fingerprint, write_json
from tasks.models.private_transformers import attention
from tasks.training import checkpoints
from tasks.training.arguments import computes_in
from tasks.training.settings import Optimization
from tasks.training.usage import WITHOUT_EFFECT, describe_machine

MOST = 50
"""Trainings that are kept, the last ones: a sweep goes back and forth between a few."""


@dataclass(frozen=True)
class Passes:
    """Bytes in use at one time in passes forward and back, besides what was loaded."""

    one: int
    """Of one item."""
    most: int
    """Of `count` items."""
    count: int

    def each(self, gradients: int) -> int:
        """What an item more takes, with `gradients` bytes that do not grow."""
        if self.count > 1:
            return max(self.most - self.one, 0) // (self.count - 1)
        return max(self.most - gradients, 0)

    def of(self, items: int, gradients: int) -> int:
        """What so many items take, with `gradients` bytes that do not grow."""
        return self.most + self.each(gradients) * (items - self.count)


@dataclass(frozen=True)
class KeptPasses:
    """The passes of trainings like the one with `key`, in `file`."""

    file: Path
    key: str

    def load(self) -> Passes | None:
        """Those that were kept; None where none were, or nobody can read them."""
        values = next((each for each in self._entries() if each["key"] == self.key), None)
        return Passes(*(values[name] for name in ("one", "most", "count"))) if values else None

    def save(self, passes: Passes) -> None:
        """Keep `passes`; the oldest of `MOST` go."""
        others = [each for each in self._entries() if each["key"] != self.key]
        write_json(self.file, [*others[1 - MOST :], {"key": self.key, **asdict(passes)}])

    def _entries(self) -> list[dict[str, Any]]:
        """What the file has, without what this code would not have written."""
        try:
            entries = json.loads(self.file.read_text())
        except (OSError, ValueError, RecursionError):
            return []
        return [each for each in entries if _is_entry(each)] if isinstance(entries, list) else []


def _is_entry(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"key", "one", "most", "count"} or type(value["key"]) is not str:
        return False
    numbers = [value[name] for name in ("one", "most", "count")]
    return all(type(number) is int for number in numbers) and min(numbers[:2]) >= 0 and numbers[2] > 0


def key(trainer: Any, settings: Optimization, item: int, counts: dict[str, int]) -> str:
    """Hash of all that decides what passes of `trainer` take, whose longest item is `item` of rows with `counts`."""
    model = trainer.model
    config = {name: value for name, value in model.config.to_dict().items() if name != "_name_or_path"}
    module = sys.modules[type(trainer).__module__]
    inputs = {
        "config": config,
        "weights": [
            (name, tuple(value.shape), str(value.dtype), value.requires_grad)
            for name, value in (*model.named_parameters(), *model.named_buffers())
        ],
        "types": sorted({type(part).__qualname__ for part in model.modules()}),
        "settings": settings.model_dump(mode="json", exclude=WITHOUT_EFFECT),
        "batch": settings.batch_size,
        "item": trainer.train_dataset[item],
        "counts": counts,
        "collator": type(trainer.data_collator).__qualname__,
        "computes": [attention(model), computes_in(trainer.args), trainer.args.gradient_checkpointing_kwargs],
        "device": [trainer.args.device.type, describe_machine(), python_version(), torch.get_num_threads()],
    }
    plain = json.loads(json.dumps(inputs, default=_plain))
    return checkpoints.key(
        {"code": type(trainer).__qualname__, "inputs": fingerprint(plain)}, Path(str(module.__file__)).parent
    )


def _plain(value: Any) -> Any:
    """What JSON has no form for: arrays and tensors as lists, all else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
