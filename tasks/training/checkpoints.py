"""Checkpoints that can be trusted: each has a manifest of its files, written last; only complete ones are resumed.

They lie in `data/scratch/<stage>-<key>/`, where the key is a hash of everything that went in (settings, base, rows,
code): training goes on only from a checkpoint of exactly this work, and ends in the bytes of an undisturbed run.
"""

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.core.errors import MachineError
from tasks.core.files import fingerprint, sha256, write_json
from tasks.core.progress import note
from tasks.training import distributed

MANIFEST = "manifest.json"
INPUTS = "inputs.json"
"""Beside the checkpoints: what they are made of, by name."""

ROOM = Path(__file__).parent

LOADING = [
    ROOM.parent / "models" / f"{name}.py"
    for name in ("start", "tuning", "compact", "private_peft", "private_transformers")
]
"""Code beside this room that decides what is trained: how the model is loaded, and what of the libraries is used."""

NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")
"""State without which a resumed run would go on, silently, with other results."""


SHARED_OUT = {"optimizer.pt": ("optimizer/.metadata", "latest")}
"""What stands for one of them where each process writes its share: of torch's distributed checkpoint, and DeepSpeed's.
The manifest has the shares themselves."""

DIVISION = ("settings.launch", "settings.batch_size", "settings.gradient_accumulation")
"""Inputs that say how the rows of a step are divided among processes and passes."""

NO_ROOM = ("No space left", "StorageFull", "file write failed", "unexpected pos")
"""What libraries say where a disk is full: the system, safetensors, torch, and torch where it closes the file."""


def key(inputs: dict[str, Any], *packages: Path) -> str:
    """Hash of everything that decides the result: `inputs`, the libraries, this code and that in `packages`."""
    return _short(_known(inputs, packages))


def folder(scratch: Path, inputs: dict[str, Any], *packages: Path) -> Path:
    """The folder `<scratch>-<key>` for the checkpoints of this work.

    Training never goes on from what was made of something else. Checkpoints of other inputs stay where they are, so
    that a change taken back goes on from them, but those of one other work only, the last one; the
    function prints which, and what differs.

    The same work by another number of processes goes on from its checkpoints where a step has as many rows as before:
    the rows come in the same order, and sums differ in their last bits.
    """
    known = _known(inputs, packages)
    target = scratch.with_name(f"{scratch.name}-{_short(known)}")
    others = [other for other in scratch.parent.glob(f"{scratch.name}-*") if other != target]
    others.sort(key=_made, reverse=True)
    if not target.exists() and (same := next((other for other in others if _shared_out(other, known)), None)):
        others.remove(same)
        same.rename(target)
        before = _processes(_read(target / INPUTS))
        print(
            f"{scratch.name}: resumes checkpoints of {before} processes with {_processes(known)}. Each step has as "
            "many rows as before, but the last bits of the result differ from an uninterrupted run",
            flush=True,
        )
    kept = None
    for other in others:
        if kept or not list(other.glob("checkpoint-*")):
            shutil.rmtree(other)
            if kept:
                print(f"{scratch.name}: removed the older checkpoints in {other}", flush=True)
            continue
        kept = other
        changed = ", ".join(_differing(_read(other / INPUTS), known)) or "what it was made of"
        note(
            f"{scratch.name}: starts at step 1: it cannot resume the checkpoints in {other}, because inputs have "
            f"changed: {changed}. Restore those inputs to use the checkpoints again, or remove the folder."
        )
    if target.exists() and not list(target.glob("checkpoint-*")) and not distributed.rank():
        note(f"{scratch.name}: starts at step 1: the last run of this training ended before its first checkpoint.")
    target.mkdir(parents=True, exist_ok=True)
    if not distributed.rank():  # the others would write the same file at the same time
        write_json(target / INPUTS, known)
    return target


def _shared_out(other: Path, known: dict[str, Any]) -> bool:
    """Whether the checkpoints in `other` are of the same work, by another number of processes."""
    old = _read(other / INPUTS)
    differing = [name for name in _differing(old, known) if not name.startswith(DIVISION)]
    if not old or differing or not list(other.glob("checkpoint-*")) or _processes(old) == _processes(known):
        return False
    strategies = {_launch(inputs).get("strategy", "ddp") for inputs in (old, known)}
    return len(strategies) == 1 and _rows_a_step(old) == _rows_a_step(known)


def _launch(inputs: dict[str, Any]) -> dict[str, Any]:
    launch: dict[str, Any] = inputs["inputs"]["settings"].get("launch", {})
    return launch


def _processes(inputs: dict[str, Any]) -> int:
    return int(_launch(inputs).get("processes", 1) * _launch(inputs).get("nodes", 1))


def _rows_a_step(inputs: dict[str, Any]) -> int:
    settings = inputs["inputs"]["settings"]
    return int(settings["batch_size"] * settings["gradient_accumulation"] * _processes(inputs))


def _made(target: Path) -> float:
    """When the work in `target` was last begun."""
    file = target / INPUTS
    return file.stat().st_mtime if file.exists() else 0.0


def _known(inputs: dict[str, Any], packages: tuple[Path, ...]) -> dict[str, Any]:
    return {"inputs": inputs, "code": _code(packages), "libraries": _libraries()}


def _short(known: dict[str, Any]) -> str:
    return fingerprint(known)[:16]


@cache
def _code(packages: tuple[Path, ...]) -> dict[str, str]:
    """Hashes of the code, as it was when this process first asked: what has been imported no longer changes."""
    files = [file for package in (ROOM, *packages) for file in sorted(package.glob("*.py"))]
    return {f"{file.parent.name}/{file.name}": sha256(file) for file in (*files, *LOADING)}


@cache
def _libraries() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")}


def _differing(old: Any, new: Any, name: str = "") -> list[str]:
    """Names of the values in which `old` and `new` differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted({*old, *new})
        return [
            changed
            for key in names
            for changed in _differing(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if old == new else [name.removeprefix("inputs.")]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def seal(checkpoint: Path) -> None:
    """Write the manifest: the checkpoint is complete."""
    files = {
        str(path.relative_to(checkpoint)): sha256(path) for path in sorted(checkpoint.rglob("*")) if path.is_file()
    }
    write_json(checkpoint / MANIFEST, files)


@contextmanager
def report_full_disk(what: str, scratch: Path) -> Iterator[None]:
    """Turn what torch and safetensors say where a checkpoint finds no room into a sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        message = str(error)
        if getattr(error, "errno", None) != errno.ENOSPC and not any(words in message for words in NO_ROOM):
            raise
        raise MachineError(
            f"{what}: the disk with {scratch} is full; free some space and run again: training resumes from its last "
            "complete checkpoint."
        ) from None


def latest(scratch: Path) -> Path | None:
    """The newest checkpoint whose manifest holds; those that are incomplete are named and removed."""
    candidates = sorted(scratch.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in candidates:
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        note(f"{scratch.name}: {checkpoint.name} is not used: {fault}")
        shutil.rmtree(checkpoint)
    return None


def _fault(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be trusted; None where it can."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text())
    except FileNotFoundError:
        return "it has no manifest, so it was not finished"
    except json.JSONDecodeError:
        return "its manifest cannot be read"
    missing = [name for name in NEEDED if not any(each in files for each in (name, *SHARED_OUT.get(name, ())))]
    if not any(name.startswith("rng_state") for name in files):
        missing.append("rng_state")
    missing += [name for name in files if not (checkpoint / name).is_file()]
    if missing:
        return f"{', '.join(missing)} is missing"
    changed = [name for name, digest in files.items() if sha256(checkpoint / name) != digest]
    return f"{', '.join(changed)} has changed" if changed else None
