"""What DVC has on record and this folder lacks, as in a fresh clone: said with the command that brings it."""

from collections.abc import Iterable

from tasks.core.errors import MachineError
from tasks.core.paths import PATHS


def refusals(paths: Iterable[str]) -> dict[str, str]:
    """A sentence for each of `paths` that DVC tracks, and that is not here."""
    from flows.bridge import unpulled

    return {path: _sentence(out, command, out) for path, out, command in unpulled(list(paths))}


def check_candidates(names: Iterable[str]) -> None:
    """Raise `MachineError` where the model of a candidate is on record, and not here. DVC is asked for these alone."""
    from flows.bridge import unpulled

    own = {"base": PATHS.base, "base_system": PATHS.base, "adapter": PATHS.trained, "merged": PATHS.merged}
    for name in names:
        folders = [own[name]] if name in own else [PATHS.quantized(name), PATHS.exported(name)]
        if any(folder.exists() for folder in folders):
            continue
        for _, out, command in unpulled(list(map(str, folders))):
            raise MachineError(_sentence(out, command, ""))  # all, since rows and tokenizer are needed too


def _sentence(out: str, command: str, target: str) -> str:
    if command:
        return f"{out} is not here, but DVC has it on record; run `{f'dvc {command} {target}'.rstrip()}`."
    return (
        f"{out} is not here: DVC has it on record, but not in its cache, and no remote is configured to pull it from. "
        "Run `dvc push` where it was made; then here `dvc remote add --default NAME URL` and `dvc pull`."
    )
