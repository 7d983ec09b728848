"""Several models of one base as one: LoRA adapters, by peft's `add_weighted_adapter`; whole models in `models`."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.core.errors import InputError, ModelError
from tasks.core.paths import PATHS
from tasks.core.settings import Settings as Section
from tasks.named.names import Name, inside

TRAINED = "trained"
"""Name of the adapter in data/trained among those that are combined."""

COMBINED = "combined"

WHOLE = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")
"""The methods that work on weights, for whole models."""

CONFIGS = ("adapter_config.json", "config.json")
"""The file that every adapter has, and that of every model."""


class Combine(Section):
    """How adapters, or whole models, are combined. linear adds what each of them changed, times its weight: for whole
    models whose weights add up to 1 that is their mean, a soup. ties (Yadav et al. 2023, arXiv:2306.01708) keeps of
    each the largest changes, lets the sign of their sum win, and takes the mean of those that have it, each times its
    weight; dare (Yu et al. 2023, arXiv:2311.03099) drops parts at random and scales up the rest; magnitude_prune keeps
    the largest changes as they are; svd is the best of the rank that is asked for of what linear gives. A weight may
    be below 0, which takes away."""

    weights: dict[Name, float]
    """Weight of each, by the name of its folder in data/adapters; `trained` is the result of `train`. Either all are
    adapters, or all are whole models."""
    method: Literal[
        "linear", "svd", "ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd",
        "magnitude_prune", "magnitude_prune_svd",
    ] = "svd"  # fmt: skip
    """For adapters: linear is exact, and its rank is the sum of all ranks; methods that end in svd work on the weight
    changes; ties, dare_linear, dare_ties and magnitude_prune need equal ranks and work on each adapter's two factors
    separately (peft's own way), which gives another result. For whole models: linear, ties, dare_linear, dare_ties or
    magnitude_prune."""
    density: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the values (0 to 1) that ties, dare and magnitude_prune keep."""
    rank: Annotated[int, Field(ge=1)] | None = None
    """Rank of the result, for methods that end in svd; null: the largest rank of the adapters."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of dare's random choice of values to drop."""

    @model_validator(mode="after")
    def _acts(self) -> Self:
        """Each key has an effect, and something comes of it all."""
        if len(self.weights) < 2:
            raise ValueError("weights names fewer than two; add another, or set combine to null")
        if not any(self.weights.values()):
            raise ValueError("every weight is 0, which leaves the base unchanged; set one of them to another number")
        for name, acts in (
            ("density", self.prunes), ("rank", self.method.endswith("svd")), ("seed", "dare" in self.method),
        ):  # fmt: skip
            if not acts and getattr(self, name) != Combine.model_fields[name].default:
                raise ValueError(f"{name} has no effect on the method {self.method}; remove it")
        return self

    @property
    def prunes(self) -> bool:
        """Whether the method keeps only a share of the values."""
        return self.method.startswith(("ties", "dare", "magnitude"))


def other_adapters(combine: Combine, root: Path) -> dict[str, Path]:
    """The folder in `root` of each but the trained one, by name. Raises `InputError` where nothing is in it."""
    if TRAINED not in combine.weights:
        raise InputError(
            f"merge.combine.weights does not name `{TRAINED}`; add it, with the weight of the result in {PATHS.fitted}."
        )
    folders_by_name = {name: inside(root, name, "merge.combine.weights") for name in combine.weights if name != TRAINED}
    for name, folder in folders_by_name.items():
        if "." in name or name in ("default", COMBINED):
            raise InputError(
                f"merge.combine.weights: peft cannot hold an adapter with the name {name}; rename {folder}."
            )
        if not any((folder / config).is_file() for config in CONFIGS):
            there = sorted({file.parent.name for config in CONFIGS for file in root.glob(f"*/{config}")})
            raise InputError(
                f"merge.combine.weights: {folder} is neither an adapter nor a model; found: "
                f"{', '.join(there) or 'none'}."
            )
    return folders_by_name


def adapter_folders(combine: Combine, trained: Path, root: Path) -> dict[str, Path]:
    """As `other_adapters`, the trained one first. Raises `InputError` for a whole model, to which none can be added."""
    others = other_adapters(combine, root)
    for name, folder in others.items():
        if not is_adapter(folder):
            raise InputError(
                f"merge.combine.weights: {folder} is a whole model, but {trained} is an adapter; remove {name}."
            )
    return {TRAINED: trained, **others}


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds an adapter, and no whole model."""
    return (folder / "adapter_config.json").is_file()


def check_whole(combine: Combine, folders: Mapping[str, Path]) -> None:
    """Raise `ModelError` where the method is one of adapters alone, or a folder holds no whole model."""
    if combine.method not in WHOLE:
        raise ModelError(
            f"{PATHS.params}: merge.combine.method {combine.method} works only for adapters; for whole models, use one "
            f"of {', '.join(WHOLE)}."
        )
    for name, folder in folders.items():
        if is_adapter(folder):
            raise ModelError(
                f"merge.combine.weights: {folder} is an adapter, but the others are whole models; merge {name} into "
                "the base first, or remove it."
            )


def check_combinable(configs: Mapping[str, Mapping[str, Any]], combine: Combine) -> None:
    """Raise `ModelError` for adapters that peft would combine wrongly, or not at all."""
    for name, config in configs.items():
        why = None
        if config["peft_type"] != "LORA":
            why = f"its type is {config['peft_type']}, but only LoRA adapters can be combined"
        elif config.get("use_dora") or config.get("lora_bias"):
            why = "peft would combine only its two factors, not its DoRA magnitudes or biases"
        elif config.get("modules_to_save") or config.get("trainable_token_indices"):
            why = "it has modules saved in full, which cannot be weighted"
        if why:
            raise ModelError(f"merge.combine: the adapter {name} cannot be combined: {why}; remove it.")
    ranks = [max([config.get("r") or 0, *(config.get("rank_pattern") or {}).values()]) for config in configs.values()]
    if TRAINED in configs and (combine.rank or 0) > sum(ranks):
        raise ModelError(
            f"{PATHS.params}: merge.combine.rank is {combine.rank:,}, but the changes of the adapters have a rank of "
            f"at most {sum(ranks)}; set it to {sum(ranks)} or less."
        )


def combine_adapters(tuned: Any, combine: Combine) -> None:
    """Give `tuned`, a peft model that holds them all, the combined adapter, and make it the active one."""
    import torch

    torch.manual_seed(combine.seed)
    names = ["default" if name == TRAINED else name for name in combine.weights]  # peft's name of the first one
    method = "cat" if combine.method == "linear" else combine.method  # peft's linear adds the factors, not the products
    try:
        with warnings.catch_warnings(action="ignore"):
            tuned.add_weighted_adapter(
                names, list(combine.weights.values()), COMBINED, combination_type=method,
                density=combine.density if combine.prunes else None, svd_rank=combine.rank, svd_full_matrices=False,
            )  # fmt: skip
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"merge.combine: {' '.join(str(error).split())[:300]}") from None
    tuned.set_adapter(COMBINED)
