"""What a stage is, declared once: `tasks/<name>/stage.py` holds one `Stage`, and everything that asks reads it.

    STAGE = Stage(name="merge", about="Base and adapter merged into one model.", settings=Settings, run=run,
                  entries=(Entry(inputs=(PATHS.base, PATHS.trained), outputs=(PATHS.merged,)),))

`python -m tasks` runs it, the model of params.yaml and the form have its section, deployed runs take their slots and
tries from it, the estimate adds up its disk, and a test compares its entries with dvc.yaml, both ways.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ITEM, KEY = "${item}", "${key}"
"""How dvc.yaml writes the item, and the name of the item, of an entry that stands for many."""


@dataclass(frozen=True)
class Entry:
    """A stage as one entry of dvc.yaml has it; most stages have one, of their own name."""

    inputs: Sequence[Path | str] = ()
    """What it reads, beside its code and requirements.lock; `${section.key}` where params.yaml names it."""
    outputs: Sequence[Path] = ()
    """What it writes, and DVC's cache keeps."""
    metrics: Sequence[Path] = ()
    """What it writes that git keeps."""
    records: Sequence[Path] = ()
    """What it writes, and finds again when it runs the next time: responses that were paid for."""
    name: str = ""
    """Of the entry; "": the stage's."""
    item: str = ""
    """What stands behind the stage in the command; "" for nothing."""
    foreach: str = ""
    """The key of params.yaml with the items, such as quantize.schemes; "" where the entry stands for itself."""
    params: Sequence[str] = ()
    """Keys of params.yaml that its result depends on; (): the stage's section."""


@dataclass(frozen=True)
class Size:
    """Bytes of disk."""

    result: int = 0
    """What the stage leaves, which DVC's cache holds too."""
    scratch: int = 0
    """What it needs besides, while it runs."""


@dataclass(frozen=True)
class Resources:
    """What a stage takes of the machine."""

    gpu: bool = False
    """Whether it computes on a graphics card where there is one; no two such stages share a card."""
    torch: bool = True
    """Whether it needs torch; without it the process starts in half the time."""
    memory: Callable[[Any, Any], int] | None = None
    """Bytes of memory at least, by the settings of the run and the tensors of the base; None: not known."""


@dataclass(frozen=True)
class Stage:
    """One stage. `run` and `validate` are called in the stage's own process, with its settings and the places."""

    name: str
    about: str
    """What it is for, in a sentence; heads its section of the form."""
    settings: type[BaseModel]
    """Its section of params.yaml."""
    run: Callable[..., None]
    """Called with settings and `Paths`, and the item where `item` names one."""
    entries: Sequence[Entry]
    validate: Callable[[Any, Any], None] | None = None
    """Raises what `run` would raise for the settings alone, whatever the inputs are; called before a run starts."""
    item: str = ""
    """What it is called with, in capital letters, such as SCHEME; "" where it takes no item."""
    resources: Resources = field(default_factory=Resources)
    teachers: Callable[..., list[Any]] | None = None
    """Called with settings and item: the teachers (`tasks.teacher.settings.Teacher`) that are asked."""
    size: Callable[[Any, Any], Size] | None = None
    """Disk that it needs, by the settings of the run and the tensors of the base; None: little."""

    @property
    def asks_teacher(self) -> bool:
        """Whether it may ask somebody over the network, who may not answer now."""
        return self.teachers is not None


def tracked(section: str, settings: type[BaseModel], but: Sequence[str]) -> tuple[str, ...]:
    """Keys of params.yaml for an entry of one item: all of `section`, except those that say what the items are."""
    return tuple(f"{section}.{key}" for key in settings.model_fields if key not in but)
