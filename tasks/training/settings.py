"""Settings of training, shared by `train`, `align` and the pretraining of an embedded base."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.core.settings import Settings as Section
from tasks.core.settings import absent
from tasks.training import optimizers
from tasks.training.launch import Launch, alone
from tasks.training.methods import METHODS
from tasks.training.pass_through import check_arguments, check_effect
from tasks.training.strategies import check_strategy
from tasks.training.tuning_settings import Positive, Tuning

Order = Literal["shuffled", "length", "key"]


def usual(value: Any) -> bool:
    """Whether an order is the one that older versions had, whose record of settings names none."""
    return bool(value == "shuffled")


class Optimization(Section):
    """How many steps, of how many rows, by which optimiser. Passed to trl's SFTConfig."""

    steps: Positive | None = 240
    """Optimiser steps. null, or absent while `epochs` is set: `epochs` decides."""
    epochs: Annotated[Annotated[float, Field(gt=0, le=10_000)] | None, Field(exclude_if=absent)] = None
    """Passes over the training rows, instead of `steps`. The number of steps is this times the batches of all rows (or
    packs), divided by `gradient_accumulation`, rounded up. null: `steps` decides."""
    batch_size: Positive = 32
    """Rows per forward pass, or packs if rows are packed. The effective batch size is this times
    `gradient_accumulation`."""
    gradient_accumulation: Positive = 1
    """Forward passes per optimiser step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-3
    """Peak learning rate, after warm-up."""
    scheduler: Annotated[str, AfterValidator(optimizers.scheduler)] = "cosine"
    """Learning rate schedule after warm-up, by its name in transformers; linear and cosine end at zero."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps over which the learning rate rises linearly from zero."""
    optimizer: Annotated[str, AfterValidator(optimizers.optimizer)] = "adamw_torch"
    """Optimiser, by its name in transformers, such as adamw_torch, adafactor or adamw_8bit; or muon."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Decay of Adam's second moment per step; short runs need less than the usual 0.999."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients with a larger Euclidean norm are clipped to it."""
    max_spike: Annotated[float, Field(gt=0)] | None = 5.0
    """Training stops if three logged losses in a row exceed the mean of the previous twenty by more than this many
    standard deviations, and by more than 1 nat. null: no such check."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Seed of initial weights, data order and dropout."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of the forward pass, whatever the weights are stored in. auto: bfloat16 on a GPU, and on a CPU with
    bfloat16 instructions if the base's hidden_size is at least 512; below that it would be slower."""
    threads: Positive = 2
    """CPU threads. Their number is part of the result: another one adds in another order and changes the last bits."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a fifth more time."""
    logging_steps: Positive = 10
    """Steps between two points of the loss curve."""
    checkpoint_steps: Positive = 100
    """Steps between two checkpoints. A run that was killed resumes from the last one; a run that is stopped by Ctrl-C
    or SIGTERM writes another one first. More than `steps`: no others."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _a_number(cls, value: Any) -> Any:
        if value == "auto":
            raise ValueError(
                "auto is not offered, since the batch size changes the result and must be the same on every machine; "
                "set it to the effective batch, and temper check --card says how many rows fit at once"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _epochs_alone(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("epochs") is not None and "steps" not in values:
            return {**values, "steps": None}
        return values

    @model_validator(mode="after")
    def _one_length(self) -> "Optimization":
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                f"steps = {self.steps} and epochs = {self.epochs:g} both say how long to train; set one of them to "
                "null, such as with a second --set SECTION.epochs=null"
            )
        if self.steps is None and self.epochs is None and not self.off:
            raise ValueError("neither steps nor epochs says how long to train; set one of them")
        return self

    @property
    def off(self) -> bool:
        """Whether nothing is trained by this section, which then may lack what training needs."""
        return False

    @property
    def step_count(self) -> int:
        """Optimiser steps; where epochs are asked for, known of what `tasks.training.schedule.resolved` returns."""
        if self.steps is None:
            raise ValueError("the steps of these epochs are not known before the rows")
        return self.steps


class Batched(Optimization):
    """How rows with labels stand in a batch."""

    padding_free: bool | Literal["auto"] = "auto"
    """Concatenate the rows of a batch, separated by position ids, instead of padding each to the longest. The gradients
    are the same, and no padding is computed. On a CPU, attention computes one row at a time if the base allows it.
    auto: do so if a measurement shows that the base keeps rows separate. If only masks do that, attention computes the
    whole batch, so auto then also requires that batch_size times the longest row is at most 4,096 tokens."""
    group_by_length: bool = False
    """Put rows of similar length into one batch: less padding, but less random batches. Only for rows that are not
    packed, and useful only if batches are padded (see `padding_free`)."""


def check_row_sharing(what: str, settings: Batched, packed: bool) -> None:
    """Raise `SettingsError` where rows should share a line of a batch, and what is tuned or how they go forbids it."""
    if packed and "pad_to_multiple_of" in getattr(settings, "arguments", {}):
        raise SettingsError(
            f"{PATHS.params}: {what}.arguments.pad_to_multiple_of has no effect on rows that are packed; remove it, or "
            "set template.packing to false."
        )
    if packed and settings.group_by_length:
        raise SettingsError(
            f"{PATHS.params}: {what}.group_by_length has no effect on packed rows; set it to false, or "
            "template.packing to false."
        )
    if packed and getattr(settings, "order", "") == "length":
        raise SettingsError(
            f"{PATHS.params}: {what}.order length has no effect on packs, which have about the same length; set it to "
            "shuffled or key, or template.packing to false."
        )
    if isinstance(settings, Tuning) and settings.neftune and (packed or settings.padding_free is True):
        key = "template.packing" if packed else f"{what}.padding_free"
        raise SettingsError(
            f"{PATHS.params}: {key} puts several rows into one sequence, which makes {what}.neftune weaker; set {key} "
            f"to false, or {what}.neftune to null."
        )
    alone = isinstance(settings, Tuning) and not METHODS[settings.method].side_by_side
    if alone and (packed or settings.padding_free is True):
        key = "template.packing" if packed else f"{what}.padding_free"
        raise SettingsError(
            f"{PATHS.params}: {key} puts several rows into one sequence, so the virtual tokens of {what}.method would "
            "precede only the first; set it to false."
        )


class Samples(Section):
    """Answers to a few held-out prompts while the model is trained, shown in the report and beside the curve."""

    prompts: Annotated[int, Field(ge=0, le=100)] = 0
    """Prompts from the validation split, evenly spread, that the model answers before the first step, at each
    evaluation and at the end. Decoding is greedy, and the trained weights are the same as without samples. 0: none."""
    tokens: Positive = 64
    """Longest such answer, in tokens."""


def unasked(samples: Samples) -> bool:
    """Whether a section is as it is without it, and does not stand in the record of settings."""
    return samples == Samples()


class Supervised(Batched, Tuning):
    """Training on rows with labels, watched on a validation split."""

    arguments: Annotated[dict[str, Any], AfterValidator(check_arguments)] = Field(default_factory=dict)
    """Further arguments of trl's SFTConfig, by their names in trl, such as dataloader_num_workers: 2 or
    lr_scheduler_kwargs: {min_lr: 1e-5}. temper refuses an argument without effect."""
    launch: Annotated[Launch, Field(exclude_if=alone)] = Launch()
    """Processes that train together."""
    order: Annotated[Order, Field(exclude_if=usual)] = "shuffled"
    """Order of the rows in each epoch. shuffled: a new random order each time; length: from the shortest to the
    longest; key: by rising values of `clean.order_key`, an easy-to-hard curriculum, which also orders packs. Rows with
    equal values are shuffled. To keep the order of train.parquet: `arguments: {train_sampling_strategy:
    sequential}`."""
    eval_steps: Positive = 100
    """Steps between two measurements of the validation loss, in nats per labelled token. The loss is the mean over all
    tokens of the split, whatever batch_size is."""
    samples: Annotated[Samples, Field(exclude_if=unasked)] = Samples()
    """Answers to a few held-out prompts at each evaluation."""
    patience: Positive | None = None
    """Stop training after this many evaluations without a lower validation loss, and keep the weights with the lowest
    one; checkpoints are then written at each evaluation. null: all steps run."""

    @model_validator(mode="after")
    def _effect(self) -> "Supervised":
        check_effect(self.arguments, self)
        check_strategy(self)
        if self.order != "shuffled" and self.group_by_length:
            raise ValueError(
                f"group_by_length sets its own order, which conflicts with order: {self.order}; remove one of them"
            )
        loss = self.arguments.get("loss_type", "nll")
        if loss not in ("nll", "dft"):
            raise ValueError(f"arguments.loss_type must be nll or dft, not {loss}")
        if loss == "dft" and self.arguments.get("label_smoothing_factor"):
            raise ValueError("arguments.label_smoothing_factor has no effect on the loss dft; remove one of them")
        return self
