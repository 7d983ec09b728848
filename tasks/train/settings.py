"""Settings of training, shared by `train` and by the pretraining of an embedded base."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.contract.settings import Settings as Section

Positive = Annotated[int, Field(ge=1)]


class Optimization(Section):
    """How many steps, of how many rows, by which optimiser. Passed to trl's SFTConfig."""

    steps: Positive = 300
    """Optimiser steps."""
    batch_size: Positive = 32
    """Rows a forward pass, or packs where rows are packed. The effective batch: this times `gradient_accumulation`."""
    gradient_accumulation: Positive = 1
    """Forward passes an optimiser step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-3
    """Peak learning rate, after warm-up."""
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    """Course of the learning rate after warm-up; linear and cosine end at zero."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Steps in which the learning rate rises linearly from zero."""
    optimizer: str = "adamw_torch"
    """An optimiser by its name in transformers, such as adamw_torch, adafactor, adamw_8bit."""
    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Memory of Adam's second moment, a step; short runs want less than the usual 0.999."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients longer than this (Euclidean norm) are scaled down to it."""
    seed: Annotated[int, Field(ge=0)] = 42
    """Seed of initial weights, data order and dropout."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; weights stay float32. auto: bfloat16 where the processor computes in it."""
    threads: Positive = 2
    """CPU threads. Part of the result: another number adds in another order and gives other last bits."""
    padding_free: bool | Literal["auto"] = "auto"
    """Rows of a batch stand one after the other, apart by their positions, instead of each filled up to the longest:
    the same gradients without work on padding. auto: where batch_size times the longest row is at most 4,096 tokens,
    beyond which attention over the whole batch costs more, and the base keeps the rows apart, which is measured."""
    group_by_length: bool = False
    """Rows of similar length share a batch: less work on padding, at the price of less random batches. For rows that
    are not packed. Of use where batches are padded, which `padding_free` decides."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a fifth more time."""
    logging_steps: Positive = 10
    """Steps between two points of the loss curve."""
    checkpoint_steps: Positive = 100
    """Steps between two checkpoints; a run that was killed goes on from the last one."""


class LoRA(Section):
    """Low-rank adapter (Hu et al. 2021, arXiv:2106.09685)."""

    r: Positive = 16
    """Rank."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """Scale: the update is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs set to zero in training."""
    target_modules: str | list[str] = "all-linear"
    """Names of the layers that get an adapter; all-linear: every linear layer but the head."""


class Settings(Optimization):
    """The section `train`."""

    method: Literal["lora", "full"] = "lora"
    """What is tuned: a low-rank adapter, or every weight."""
    lora: LoRA = LoRA()
    """The adapter; without effect for `method: full`."""
    eval_steps: Positive = 100
    """Steps between two losses on the validation split."""
