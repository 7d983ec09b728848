"""Settings of training, shared by `train`, `align` and the pretraining of an embedded base."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from tasks.bounds.patterns import NamePattern, check_names
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.core.settings import Settings as Section
from tasks.core.settings import absent
from tasks.training import optimizers
from tasks.training.launch import Launch, alone
from tasks.training.methods import METHODS, REFUSED, known
from tasks.training.pass_through import check_arguments, check_effect
from tasks.training.strategies import check_strategy

Positive = Annotated[int, Field(ge=1)]


Attention = Literal["auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"]
"""Implementations of attention, by transformers' names; its flex_attention is compiled at run time, as nothing is."""


Order = Literal["shuffled", "length", "key"]


def usual(value: Any) -> bool:
    """Whether an order is the one that older versions had, whose record of settings names none."""
    return bool(value == "shuffled")


class Optimization(Section):
    """How many steps, of how many rows, by which optimiser. Passed to trl's SFTConfig."""

    steps: Positive | None = 240
    """Optimiser steps. null, or absent while `epochs` is set: `epochs` decides."""
    epochs: Annotated[Annotated[float, Field(gt=0, le=10_000)] | None, Field(exclude_if=absent)] = None
    """Passes over the training rows, instead of `steps`: this times the batches of all rows (or packs), divided by
    `gradient_accumulation`, rounded up. null: `steps` decides."""
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
    """CPU threads. They are part of the result: another number sums in another order and changes the last bits."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a fifth more time."""
    logging_steps: Positive = 10
    """Steps between two points of the loss curve."""
    checkpoint_steps: Positive = 100
    """Steps between two checkpoints; a run that was killed resumes from the last one. More than `steps`: no
    checkpoints."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _a_number(cls, value: Any) -> Any:
        if value == "auto":
            raise ValueError(
                "auto is not offered, since the batch size changes the result and must be the same on every machine; "
                "set it to the effective batch, and let temper check --card tell how many rows fit at once"
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
                f"steps = {self.steps} and epochs = {self.epochs:g} both say how long to train; set one of them to null"
            )
        if self.steps is None and self.epochs is None:
            raise ValueError("neither steps nor epochs says how long to train; set one of them")
        return self

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
    are the same, and no padding is computed; on a CPU, attention goes over one row at a time where the base allows it.
    auto: if a measurement shows that the base keeps rows separate; where masks do that, which cost attention over the
    whole batch, only if batch_size times the longest row is at most 4,096 tokens."""
    group_by_length: bool = False
    """Put rows of similar length into one batch: less padding, but less random batches. Only for rows that are not
    packed, and useful only if batches are padded (see `padding_free`)."""


class LoRA(Section):
    """Low-rank adapter (Hu et al. 2021, arXiv:2106.09685)."""

    r: Positive = 16
    """Rank."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """Scale: the update is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs that are set to zero during training (0 to 1)."""
    target_modules: NamePattern | list[str] = "all-linear"
    """Names of the layers that get an adapter. all-linear: every linear layer except the head."""
    b_ratio: Annotated[float, Field(ge=1)] | None = None
    """Learning rate of matrix B as a multiple of that of matrix A (LoRA+, arXiv:2402.12354). null: 16 for the method
    lora_plus, 1 for others."""


class Freeze(Section):
    """What is trained while the rest of the model stays as it is, for `method: freeze`."""

    layers: int = 2
    """Transformer blocks that are trained: the last ones, or the first ones if negative."""
    names: tuple[str, ...] = ()
    """Also train weights whose names contain one of these, such as lm_head, embed_tokens or norm."""


class Tuning(Section):
    """What of a model is tuned, and how; shared by the stages `train` and `align`."""

    method: str = "lora"
    """What is tuned: lora, qlora, dora, rslora, lora_plus, pissa, olora, eva, full (all weights), freeze (some of
    them), or another method of peft by its name in lower case, such as ia3, vera or prompt_tuning."""
    lora: LoRA = LoRA()
    """The adapter, for LoRA and its variants; no effect on other methods."""
    peft: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    """Fields of the method's peft configuration, by their names in peft; they override what temper sets."""
    freeze: Freeze = Freeze()
    """For `method: freeze`; no effect on other methods."""
    attention: Attention = "auto"
    """Implementation of attention in training, if the base's class has it. auto: transformers decides (sdpa for most).
    sdpa and eager run everywhere; the flash ones need a GPU and a package."""
    quantization: Literal["nf4", "fp4", "int8"] | None = None
    """Load the base's weights in 4 or 8 bits (bitsandbytes) under an adapter: less memory, but slower. null: not
    quantised, except by the method qlora, which uses nf4."""
    weights: Literal["float32", "bfloat16_kahan", "bfloat16_stochastic"] = "float32"
    """Data type of the trained weights for the methods full and freeze. Bytes per weight, gradient included: float32 8;
    bfloat16_kahan 6, with the rounding error kept beside it (compensated sum, Kahan 1965); bfloat16_stochastic 4,
    rounded up or down at random so that small updates count on average (arXiv:2010.06192)."""
    min_low_bits: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Smallest share (0 to 1) of the base's weights, not counting embeddings and head, that a quantised base must hold
    in low precision. bitsandbytes leaves the fused experts of a mixture-of-experts model in full precision."""

    neftune: Annotated[Annotated[float, Field(gt=0)] | None, Field(exclude_if=absent)] = None
    """Noise on the embeddings during training (NEFTune, arXiv:2310.05914): each value gets uniform noise between plus
    and minus this, divided by the square root of tokens times width; 5 is usual. Evaluation has no noise. null: no
    noise."""

    @field_validator("method")
    @classmethod
    def _method(cls, value: str) -> str:
        return known(value)

    @field_validator("peft")
    @classmethod
    def _peft(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        method = METHODS.get(info.data.get("method", ""))
        if method is None:
            return value
        if value and method.kind is None:
            raise ValueError("it has no effect on a method without an adapter; remove it")
        named = value.get("init_lora_weights")
        initial = named.lower().split("_niter")[0] if isinstance(named, str) else ""
        if initial in REFUSED:
            raise ValueError(f"init_lora_weights {initial} is not offered: {REFUSED[initial]}")
        if method.lora and initial in METHODS and initial != info.data["method"]:
            raise ValueError(
                f"init_lora_weights {initial} is the method {initial} here; set method to {initial}, and remove this"
            )
        lora = {"r": "r", "lora_alpha": "alpha", "lora_dropout": "dropout", "target_modules": "target_modules"}
        if method.lora and (twice := sorted(set(lora) & set(value))):
            raise ValueError(f"{twice[0]} is the key lora.{lora[twice[0]]} here; set that instead")
        if missing := [name for name in method.needs if name not in value]:
            raise ValueError(f"the method needs {', '.join(missing)}, which have no default; set them here")
        check_names(value)
        return value

    @field_validator("quantization")
    @classmethod
    def _quantization(cls, value: str | None, info: ValidationInfo) -> str | None:
        name = info.data.get("method", "")
        method = METHODS.get(name)
        if value and method:
            if method.kind is None:
                raise ValueError("quantised weights cannot be trained directly; set method to lora or qlora")
            if not method.quantized or (name == "dora" and value == "int8"):
                raise ValueError(f"{name} does not work on a quantised base in the installed peft; set it to null")
        return value

    @model_validator(mode="after")
    def _weights(self) -> "Tuning":
        if self.weights == "float32":
            return self
        if METHODS[self.method].kind:
            raise ValueError(f"weights: {self.weights} is for the methods full and freeze; set it to float32")
        if (name := getattr(self, "optimizer", "adamw_torch")) not in optimizers.ROUNDED:
            raise ValueError(
                f"weights: {self.weights} does not work with the optimizer {name}; use one of "
                f"{', '.join(optimizers.ROUNDED)}"
            )
        return self

    @property
    def particular(self) -> bool:
        """Whether it names parts of the model, which only the model can tell to be there."""
        return bool(self.peft) or self.method == "freeze" or self.lora.target_modules != "all-linear"

    @property
    def attention_options(self) -> dict[str, str]:
        """What transformers is given when it loads a model, for the key `attention`."""
        return {} if self.attention == "auto" else {"attn_implementation": self.attention}

    @property
    def quantized(self) -> str | None:
        """In what the base's weights are held while it is trained; None: as they are."""
        return self.quantization or ("nf4" if self.method == "qlora" else None)


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
    evaluation and at the end. It takes the most likely token, and the trained weights are the same as without samples.
    0: none."""
    tokens: Positive = 64
    """Longest such answer, in tokens."""


def unasked(samples: Samples) -> bool:
    """Whether a section is as it is without it, and does not stand in the record of settings."""
    return samples == Samples()


class Supervised(Batched, Tuning):
    """Training on rows with labels, watched on a validation split."""

    arguments: Annotated[dict[str, Any], AfterValidator(check_arguments)] = Field(default_factory=dict)
    """Further arguments of trl's SFTConfig, by their names in trl, such as dataloader_num_workers: 2 or
    lr_scheduler_kwargs: {min_lr: 1e-5}. An argument without effect is refused."""
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
