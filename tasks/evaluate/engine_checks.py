"""What keeps vLLM from computing a candidate, said before anything is loaded."""

from pathlib import Path
from typing import Any

from tasks.core.errors import MachineError, ModelError, SettingsError
from tasks.core.json_files import read_object
from tasks.core.paths import PATHS, Paths
from tasks.engine.settings import machine
from tasks.evaluate.settings import Settings
from tasks.models.adapter_files import CONFIG, adapter_config
from tasks.models.classes import is_classifier
from tasks.models.embedder import is_embedder
from tasks.models.for_vllm import adapter_problem, elsewhere, machine_problems, vocabularies
from tasks.models.loading import gguf_file
from tasks.models.text_config import stored_quantization
from tasks.named.names import inside

KEY = "evaluate.engine.kind"
OTHER = "transformers"


def check(settings: Settings, paths: Paths) -> None:
    """Raise `SettingsError`, `MachineError` or `ModelError` for what can be known before a run starts."""
    if not elsewhere(paths, "evaluate"):
        check_machine()
    if machine(paths).engine != "local":
        raise SettingsError(
            f"{PATHS.params}: {KEY} is vllm, which computes on the GPU of one machine, so machine.engine ray has no "
            f"effect; set it to local, or {KEY} to {OTHER}."
        )
    for name, location in settings.models.items():
        folder = inside(paths.root, location, f"evaluate.models.{name}")
        if folder.is_dir():
            check_candidate(name, [folder, folder])


def check_machine() -> None:
    """Raise `MachineError` where this machine has no vLLM or no card."""
    if problem := next(machine_problems(KEY, OTHER), None):
        raise MachineError(f"{PATHS.params}: {problem}")


def check_candidate(candidate: str, folders: list[Path]) -> None:
    """Raise `ModelError` where a candidate is of a kind that vLLM does not load here; see `candidates.folders`."""
    first, *more = folders
    if is_embedder(folders[-1]):
        raise refusal(candidate, "it is an embedding model")
    if gguf_file(first):
        raise refusal(candidate, f"{first} is a GGUF file")
    if stored_quantization(read_object(first / "config.json", ModelError)):
        raise refusal(candidate, f"{first} is quantised")
    if len(more) > 1 and (problem := adapter_problem(adapter_config(more[0]))):
        raise refusal(candidate, f"{more[0] / CONFIG} is of a kind that vLLM does not load ({problem})")


def check_model(candidate: str, model: Any, folder: Path) -> None:
    """Raise `ModelError` where a loaded model is none that writes, or has tokens that its `folder` has not."""
    if is_classifier(model.config):
        raise refusal(candidate, "it is a classifier")
    rows, stored = vocabularies(model, folder)
    if rows != stored:
        raise refusal(
            candidate,
            f"its tokenizer needs embeddings for {rows} tokens, and {folder} has {stored} (template.new_tokens)",
        )


def refusal(candidate: str, why: str) -> ModelError:
    """The error for a candidate that vLLM cannot compute."""
    return ModelError(
        f"{PATHS.params}: {KEY} is vllm, which cannot compute {candidate}: {why}; set it to {OTHER}, or leave that "
        "candidate out."
    )
