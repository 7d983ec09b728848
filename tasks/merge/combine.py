"""Several LoRA adapters of one base as one, by peft's `add_weighted_adapter`."""

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.core.errors import InputError, ModelError
from tasks.core.paths import PATHS
from tasks.core.settings import Settings as Section
from tasks.named.names import inside

TRAINED = "trained"
"""Name of the adapter in data/trained among those that are combined."""

COMBINED = "combined"


class Combine(Section):
    """How adapters are combined. linear and cat add them; ties (Yadav et al. 2023, arXiv:2306.01708) lets the sign of
    the majority win; dare (Yu et al. 2023, arXiv:2311.03099) drops parts at random and scales up the rest; svd adds the
    updates themselves and takes the best of the rank that is asked for."""

    weights: dict[str, float]
    """Weight of each adapter by the name of its folder in data/adapters; `trained` is the one in data/trained."""
    method: Literal[
        "linear", "cat", "svd", "ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd",
        "magnitude_prune", "magnitude_prune_svd",
    ] = "svd"  # fmt: skip
    """One of peft's; linear, ties, dare_* and magnitude_prune want equal ranks, and work on the two factors apart."""
    density: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the numbers that ties, dare and magnitude_prune keep."""
    rank: Annotated[int, Field(ge=1)] | None = None
    """Rank of the result of svd; null: the largest of the adapters'."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of what dare drops."""


def other_adapters(combine: Combine, root: Path) -> dict[str, Path]:
    """The folder in `root` of each adapter but the trained one, by name. Raises `InputError` for one that is none."""
    if TRAINED not in combine.weights:
        raise InputError(
            f"merge.combine.weights does not name `{TRAINED}`; give the adapter in {PATHS.fitted} a weight."
        )
    folders_by_name = {name: inside(root, name, "merge.combine.weights") for name in combine.weights if name != TRAINED}
    for name, folder in folders_by_name.items():
        if "." in name or name in ("default", COMBINED) or not (folder / "adapter_config.json").is_file():
            there = sorted(file.parent.name for file in root.glob("*/adapter_config.json"))
            raise InputError(f"merge.combine.weights: {folder} is no adapter; there are: {', '.join(there) or 'none'}.")
    return folders_by_name


def adapter_folders(combine: Combine, trained: Path, root: Path) -> dict[str, Path]:
    """As `other_adapters`, the trained one first."""
    if not (trained / "adapter_config.json").is_file():
        raise InputError(f"merge.combine: {trained} holds no adapter that others could be added to; take combine out.")
    return {TRAINED: trained, **other_adapters(combine, root)}


def check_combinable(configs: dict[str, dict[str, Any]]) -> None:
    """Raise `ModelError` for adapters that peft would combine wrongly, or not at all."""
    for name, config in configs.items():
        why = None
        if config["peft_type"] != "LORA":
            why = f"it is of the kind {config['peft_type']}, and only LoRA can be combined"
        elif config.get("use_dora") or config.get("lora_bias"):
            why = "of DoRA and of biases peft combines the two factors only"
        elif config.get("modules_to_save") or config.get("trainable_token_indices"):
            why = "modules that it saves whole cannot be weighted"
        if why:
            raise ModelError(f"merge.combine: the adapter {name} cannot be combined: {why}; leave it out.")


def combine_adapters(tuned: Any, combine: Combine) -> None:
    """Give `tuned`, a peft model that holds them all, the combined adapter, and make it the active one."""
    import torch

    torch.manual_seed(combine.seed)
    names = ["default" if name == TRAINED else name for name in combine.weights]  # peft's name of the first one
    pruned = combine.method.startswith(("ties", "dare", "magnitude"))
    try:
        with warnings.catch_warnings(action="ignore"):
            tuned.add_weighted_adapter(
                names, list(combine.weights.values()), COMBINED, combination_type=combine.method,
                density=combine.density if pruned else None, svd_rank=combine.rank, svd_full_matrices=False,
            )  # fmt: skip
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"merge.combine: {' '.join(str(error).split())[:300]}") from None
    tuned.set_adapter(COMBINED)
