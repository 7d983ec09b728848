"""Settings of what of a model is tuned, and how; shared by `train` and `align`."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tasks.bounds.patterns import NamePattern, check_names
from tasks.core.settings import Settings as Section
from tasks.core.settings import absent
from tasks.training import optimizers
from tasks.training.methods import METHODS, REFUSED, known

Positive = Annotated[int, Field(ge=1)]

Attention = Literal["auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"]
"""Implementations of attention, by transformers' names; its flex_attention is compiled at run time, as nothing is."""


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
                f"to use init_lora_weights {initial}, set method to {initial}, and remove init_lora_weights"
            )
        lora = {"r": "r", "lora_alpha": "alpha", "lora_dropout": "dropout", "target_modules": "target_modules"}
        if method.lora and (twice := sorted(set(lora) & set(value))):
            raise ValueError(f"set the key lora.{lora[twice[0]]} instead of {twice[0]}")
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
