"""`temper push`: a finished folder to a model repository of the hub, and only one that carries its proof."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from flows.bridge import LOCK, altered
from flows.history.hub_access import check_access, gated_base
from tasks.core.errors import InputError, MachineError, SettingsError, hub_faults
from tasks.core.json_files import read_object
from tasks.core.paths import PATHS

PROOFS = ("merge.json", "quantization.json", "export.json", "training.json")
"""What a stage writes beside what it has compared."""

PRIVATE = ("*.log", ".*", "*.csv", "settings.json")
"""What stays here."""


@dataclass(frozen=True)
class Upload:
    """What would be sent."""

    repository: str
    folder: Path
    files: dict[str, int]
    """Bytes by name."""
    card: Path | None

    def summary(self) -> str:
        """A line a file, and the sum."""
        lines = [f"{size:>15,}  {name}" for name, size in self.files.items()]
        if self.card:
            lines.append(f"{self.card.stat().st_size:>15,}  README.md (from {self.card})")
        return "\n".join([*lines, f"{sum(self.files.values()):>15,}  bytes to {self.repository}"])


def prepare_upload(repository: str, folder: Path) -> Upload:
    """Look at `folder`. Raises `InputError` where a stage did not finish it, or where it is not what the stage made;
    `SettingsError` for a wrong name."""
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise SettingsError(f"'{repository}' is not a repository name; write organisation/name.")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run `temper run` first, or name another with --folder.")
    if not any((folder / name).is_file() for name in PROOFS):
        raise InputError(
            f"{folder}: it has none of {', '.join(PROOFS)}, so nothing proves that this is what was trained; push a "
            f"folder made by a stage, such as {PATHS.merged}."
        )
    if PATHS.pipeline.is_file() and altered(folder):
        raise InputError(
            f"{folder} is not what the run made: its files differ from {LOCK}. Run `temper run`, which restores them."
        )
    files = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(file.match(pattern) for pattern in PRIVATE)
    }
    return Upload(repository, folder, files, PATHS.card if PATHS.card.is_file() else None)


def ask_hub(upload: Upload, *, private: bool, endpoint: str | None = None) -> list[str]:
    """Whether it will be let in, before anything is sent; return what is worth knowing. Raises as `check_access`."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi

    hub = HfApi(endpoint=endpoint)
    notes = check_access(hub, upload.repository, private)
    record = PATHS.base / "base.json"
    base = read_object(record, InputError) if record.is_file() else {}
    return [*notes, *filter(None, [gated_base(hub, base)])]


def push(upload: Upload, *, private: bool, endpoint: str | None = None) -> str:
    """Send it; return the address of the commit. The token comes from HF_TOKEN or the hub's own login.

    Raises `MachineError` where the hub cannot be reached or refuses, with its reason.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(endpoint=endpoint)
    operations = [CommitOperationAdd(name, upload.folder / name) for name in upload.files]
    if upload.card:
        operations.append(CommitOperationAdd("README.md", upload.card))
    try:
        hub.create_repo(upload.repository, private=private, exist_ok=True)
        done = hub.create_commit(upload.repository, operations, commit_message=_message(upload))
    except HfHubHTTPError as error:
        raise MachineError(
            f"the hub rejected {upload.repository}: {' '.join(str(error).split())[:300]}; set HF_TOKEN to a token that "
            "has write access."
        ) from None
    except RuntimeError as error:  # a file that could not be uploaded
        raise MachineError(f"the upload to {upload.repository} failed: {error}; run it again.") from None
    except hub_faults() as error:
        raise MachineError(f"the hub cannot be reached: {error}.") from None
    return str(done.commit_url)


def _message(upload: Upload) -> str:
    proof = next(name for name in PROOFS if (upload.folder / name).is_file())
    facts = json.loads((upload.folder / proof).read_text())
    parts = [f"{key} {facts[key]}" for key in ("method", "scheme", "format", "dtype", "base") if key in facts]
    return f"{upload.folder.name}: {', '.join(parts)}"
