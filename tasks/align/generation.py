"""vLLM in the place of the model itself where an objective learns from answers: what it needs, asked before a run.

What trl 1.16 does with it: before each round of answers the weights go to the engine, an adapter merged into them; the
engine answers the prompts' token ids, and says how likely each token was to it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import PATHS
from tasks.models.for_vllm import UNMERGED, machine_problems, vocabularies
from tasks.training.methods import METHODS
from tasks.training.tuning_settings import Tuning

if TYPE_CHECKING:
    from tasks.align.settings import Settings

NEWEST = "0.31.0"
"""The last version of vLLM that trl 1.16 knows (`trl.import_utils.is_vllm_available`)."""

PATIENCE = 5.0
"""Seconds that a server may take to answer a question about itself."""

KEY = "align.generation"


def check_tuned(settings: "Settings", tuned: Tuning) -> None:
    """Raise `SettingsError` where what is `tuned` cannot go to vLLM, which takes whole weights.

    An adapter goes merged into copies of the base's weights, one after the other.
    """
    if settings.generation.engine == "model":
        return
    method = METHODS[tuned.method]
    fields = {**method.preset, **tuned.peft}
    problem = ""
    if tuned.quantized:
        problem = f"an adapter cannot be merged into the base's quantised weights ({tuned.quantized})"
    elif method.kind is not None and not method.lora:
        problem = f"merging an adapter by {tuned.method} during training is untested"
    elif named := next((name for name in UNMERGED if method.lora and fields.get(name)), None):
        problem = f"merging an adapter with {named} during training is untested"
    if problem:
        raise SettingsError(
            f"{PATHS.params}: {KEY}.engine vllm receives all weights before each round of answers, but {problem}; set "
            "align.method to lora or full, or engine to model."
        )


def check_vocabulary(settings: "Settings", model: Any, base: Path) -> None:
    """Raise `SettingsError` where vLLM, which loads the folder `base`, has no room for tokens added to `model`."""
    if settings.generation.engine == "model":
        return
    rows, stored = vocabularies(model, base)
    if rows != stored:
        raise SettingsError(
            f"{PATHS.params}: {KEY}.engine vllm loads the base with embeddings for {stored} tokens, but the trained "
            f"model has {rows}; remove the new tokens from template.new_tokens, or set engine to model."
        )


def check_machine(settings: "Settings") -> None:
    """Raise `MachineError` where this machine has no vLLM, no card or no server for it."""
    if settings.generation.engine == "vllm" and (problem := next(_problems(settings), None)):
        raise MachineError(f"{PATHS.params}: {problem}")


def _problems(settings: "Settings") -> Iterator[str]:
    yield from machine_problems(f"{KEY}.engine", "model", NEWEST, "trl")
    if settings.generation.server:
        yield from server_problems(settings.generation.server)


def server_problems(address: str, base: str | None = None) -> Iterator[str]:
    """A sentence for what keeps the server at `address` from answering for the model in training.

    `base`: name or folder of the model that it has to serve; by default that of params.yaml, where it is there.
    """
    import httpx

    where = f"{KEY}.server = {address}"
    try:
        health = httpx.get(f"{address}/health", timeout=PATIENCE, trust_env=False)
        models = httpx.get(f"{address}/v1/models", timeout=PATIENCE, trust_env=False)
        about = httpx.get(f"{address}/server_info", params={"config_format": "json"}, timeout=PATIENCE, trust_env=False)
        served = str(models.json()["data"][0].get("root") or models.json()["data"][0]["id"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield f"{where}: no server answers there ({type(error).__name__}); {_start(base)}."
        return
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        yield f"{where}: the server there is not vLLM; {_start(base)}."
        return
    if health.status_code != httpx.codes.OK:
        yield f"{where}: the server is not ready (/health says {health.status_code}); wait for it, then run again."
        return
    yield from _transfer(where, about, base)
    if (wanted := base or _base()) and not _same(served, wanted):
        yield f"{where}: it serves {served}, but the base is {wanted}; {_start(wanted)}."


def _transfer(where: str, about: Any, base: str | None) -> Iterator[str]:
    """What the server's own configuration lacks."""
    try:
        config = about.json()["vllm_config"]
        transfer, mode = config["weight_transfer_config"], config["model_config"]["logprobs_mode"]
    except (ValueError, KeyError, TypeError):
        yield (
            f"{where}: the server cannot receive weights, because it runs without VLLM_SERVER_DEV_MODE=1; "
            f"{_start(base)}."
        )
        return
    if transfer is None:
        yield (
            f"{where}: the server cannot receive weights, because it runs without --weight-transfer-config; "
            f"{_start(base)}."
        )
    if mode != "processed_logprobs":
        yield (
            f"{where}: the server returns likelihoods from before temperature and truncation (--logprobs-mode {mode}), "
            f"which would give wrong importance weights; {_start(base)}."
        )


def _start(base: str | None) -> str:
    return (
        f"start one with: VLLM_SERVER_DEV_MODE=1 vllm serve {base or _base() or 'BASE'} --weight-transfer-config "
        '\'{"backend": "nccl"}\' --logprobs-mode processed_logprobs'
    )


def _base() -> str | None:
    """The base that params.yaml names where it is a model, by its name on the hub or its folder; or what was trained
    of a seed; None before that."""
    from tasks.models.skeleton import configured_base

    if configured := configured_base():
        return configured[0]
    return str(PATHS.base / "model") if (PATHS.base / "model").is_dir() else None


def _same(served: str, wanted: str) -> bool:
    """Whether two names are of one model: the same folder or name, at most with another path before it."""
    return (
        served == wanted or Path(served).resolve() == Path(wanted).resolve() or Path(served).name == Path(wanted).name
    )


def arguments(settings: "Settings", longest: int) -> dict[str, Any]:
    """trl's arguments for the engine; none where the model answers itself. `longest`: tokens of a prompt."""
    generation = settings.generation
    if generation.engine == "model":
        return {}
    values: dict[str, Any] = {"use_vllm": True, "vllm_mode": "server" if generation.server else "colocate"}
    if generation.server:
        return {**values, "vllm_server_base_url": generation.server, "vllm_group_port": generation.port}
    return {
        **values,
        "vllm_gpu_memory_utilization": generation.memory,
        "vllm_max_model_length": longest + settings.answer_tokens,
    }
