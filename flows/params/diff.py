"""What changed, in words: `train.learning_rate 0.005 -> 0.001`, `file tasks/training/trainer.py changed`."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def parameters(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One line for each key whose value differs, with the dotted key, the old value and the new one."""
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        name = f"{prefix}{key}"
        if key not in new:
            lines.append(f"{name} {shown(old[key])} -> (gone)")
        elif key not in old:
            lines.append(f"{name} (new) -> {shown(new[key])}")
        elif isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            lines += parameters(old[key], new[key], f"{name}.")
        elif old[key] != new[key]:
            lines.append(f"{name} {shown(old[key])} -> {shown(new[key])}")
    return lines


def shown(value: Any) -> str:
    """A value on one line, as one would type it in params.yaml; cut at 60 characters."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def edited(path: Path) -> list[str]:
    """Files at or below `path` that differ from the commit that dvc.lock was last recorded in: the likely cause.

    DVC records one hash for a folder, so git is asked which file it was, and of those it names, the ones written since
    dvc.lock. Empty where git knows of no difference.
    """
    recorded = _git("log", "-1", "--format=%H", "--", "dvc.lock") or ["HEAD"]
    names = _git("diff", "--name-only", "--relative", recorded[0], "--", str(path))
    names += _git("ls-files", "--others", "--exclude-standard", "--", str(path))
    lock = Path("dvc.lock")
    written = lock.stat().st_mtime if lock.exists() else 0.0
    recent = [name for name in names if not Path(name).exists() or Path(name).stat().st_mtime >= written]
    return recent or names


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.splitlines()
