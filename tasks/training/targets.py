"""Names of layers, weights, blocks and tokens in the settings of an adapter, looked up in the model before it is tuned.

peft tunes what it finds and says nothing of the rest: of `[q_proj, v_porj]` half was tuned.

    check_targets("train", settings, model)  # the model, or its skeleton without weights
"""

import re
from collections.abc import Iterable
from typing import Any

import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.named.choices import hint
from tasks.training.methods import METHODS
from tasks.training.tuning_settings import Tuning

LAYERS = ("target_modules", "feedforward_modules", "exclude_modules", "target_modules_bd_a", "target_modules_bd_b")
"""Fields of peft with the ends of the names of layers, or one regular expression for whole names."""

PATTERNS = (
    "rank_pattern", "alpha_pattern", "block_size_pattern", "lambda_pattern", "n_frequency_pattern",
)  # fmt: skip
"""Fields of peft with values by layer; a key is a regular expression for the end of a name."""

TOKENS = ("token_indices", "trainable_token_indices", "alora_invocation_tokens")
"""Fields of peft with token ids; the second one may have them by layer."""

BLOCK = r".*?\.[^.]*\.(?P<index>\d+)\."
"""The first number in the name of a layer, as peft finds it."""


def check_targets(what: str, settings: Tuning, model: Any) -> None:
    """Raise `SettingsError` for each name, block or token in the settings that `model` does not have."""
    fields = dict(settings.peft)
    if METHODS[settings.method].lora:
        fields["target_modules"] = settings.lora.target_modules
    layers = {name: layer for name, layer in model.named_modules() if name}
    faults: list[str] = []

    def fault(field: str, name: Any, of: str, known: Iterable[str]) -> None:
        key = f"{what}.{'lora' if field == 'target_modules' and METHODS[settings.method].lora else 'peft'}.{field}"
        faults.append(f"{PATHS.params}: {key}: the base has no {of} {name!r}; {hint(str(name), sorted(known))}")

    for field in LAYERS:
        for name in _unmatched(fields.get(field), layers):
            fault(field, name, "layer", _alike(name, layers))
    for name in _listed(fields.get("modules_to_save")):
        if not any(layer.endswith(name) for layer in layers):
            fault("modules_to_save", name, "layer", _alike(name, layers))
    tuned = _tuned(fields.get("target_modules"), layers, model)
    for field in PATTERNS:
        for name in fields.get(field) or ():
            if not any(_matches(rf"(.*\.)?({name})", layer) for layer in tuned):
                fault(field, name, "layer with an adapter that is called", _alike(name, tuned))
    weights = [name for name, _ in model.named_parameters()]
    for name in _listed(fields.get("target_parameters")):
        if not any(weight == name or weight.endswith(f".{name}") for weight in weights):
            fault("target_parameters", name, "weight", _alike(name, weights))
    _check_blocks(fields, tuned, fault)
    _check_tokens(fields, layers, model, fault)
    if faults:
        raise SettingsError("\n".join(faults))


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(name) for name in value or ()]


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error:
        return False


def _unmatched(value: Any, layers: Iterable[str]) -> list[str]:
    """What of a list of ends of names, or of one regular expression, no layer has."""
    if isinstance(value, str):
        return [] if value == "all-linear" or any(_matches(value, layer) for layer in layers) else [value]
    return [name for name in _listed(value) if not any(_ends(layer, name) for layer in layers)]


def _ends(layer: str, name: str) -> bool:
    return layer == name or layer.endswith(f".{name}")


def _alike(name: str, known: Iterable[str]) -> set[str]:
    """Names to choose from: whole ones where `name` is one, else their last parts."""
    return set(known) if "." in name else {part for one in known if not (part := one.rsplit(".", 1)[-1]).isdigit()}


def _tuned(targets: Any, layers: dict[str, Any], model: Any) -> list[str]:
    """Layers that get an adapter; all of them where peft chooses by the kind of model."""
    if targets is None:
        return list(layers)
    if targets == "all-linear":
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        linear: tuple[Any, ...] = (
            torch.nn.Linear,
            *(type(layer) for layer in layers.values() if type(layer).__name__ == "Conv1D"),
        )
        return [name for name, layer in layers.items() if isinstance(layer, linear) and layer is not head]
    if isinstance(targets, str):
        return [name for name in layers if _matches(targets, name)]
    return [name for name in layers if any(_ends(name, target) for target in targets)]


def _check_blocks(fields: dict[str, Any], tuned: list[str], fault: Any) -> None:
    """`layers_to_transform` and `layers_pattern`: numbers of blocks, and what the list of blocks is called."""
    chosen = fields.get("layers_to_transform")
    if chosen is None:
        return
    patterns = [rf"(?:^|.*?\.){name}\.(?P<index>\d+)\." for name in _listed(fields.get("layers_pattern"))] or [BLOCK]
    places = [[match for layer in tuned if (match := re.match(pattern, layer))] for pattern in patterns]
    for name, matches in zip(_listed(fields.get("layers_pattern")), places, strict=False):
        if not matches:
            fault("layers_pattern", name, "list of blocks", {part for layer in tuned for part in layer.split(".")[:-1]})
    blocks = {int(match["index"]) for matches in places for match in matches}
    for number in [chosen] if isinstance(chosen, int) else chosen:
        if number not in blocks:
            known = [f"{min(blocks)} to {max(blocks)}"] if blocks else ["none"]
            fault("layers_to_transform", number, "block with an adapter,", known)


def _check_tokens(fields: dict[str, Any], layers: dict[str, Any], model: Any, fault: Any) -> None:
    """Token ids, which are rows of the embeddings."""
    rows = model.get_input_embeddings().num_embeddings
    for field in TOKENS:
        value = fields.get(field)
        for name in value if isinstance(value, dict) else ():
            if not any(_ends(layer, name) for layer in layers):
                fault(field, name, "layer", _alike(name, layers))
        groups = list(value.values()) if isinstance(value, dict) else [value or ()]
        for token in {token for group in groups for token in group}:
            if not isinstance(token, int) or not 0 <= token < rows:
                fault(field, token, "token", [f"0 to {rows - 1}"])
