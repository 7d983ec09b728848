"""What is trained, on what batches, as params.yaml and what is there of the data say: for pricing it beforehand."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tasks.align.objectives import OBJECTIVES
from tasks.align.settings import Settings as Align
from tasks.base.settings import Settings as Base
from tasks.core.errors import InputError
from tasks.core.paths import PATHS, Paths
from tasks.core.settings import load, read
from tasks.memory.passes import Batch, Stages, batch_of
from tasks.memory.price import Need, Price, measure, measure_divided, whole
from tasks.memory.strategies import Plan, Work, plan
from tasks.memory.teacher import Held, Teacher, bytes_held, read_teacher
from tasks.models.record import base_folder
from tasks.models.skeleton import configured_base
from tasks.template.settings import Settings as Template
from tasks.train.settings import Settings as Train
from tasks.training.launch import Launch
from tasks.training.methods import METHODS
from tasks.training.tuning_settings import Tuning

Measured = TypeVar("Measured")

ASSUMED = 2048
"""Tokens of the longest row where neither the data nor a setting tell."""

PAIRED = ("dpo", "kto", "orpo", "cpo", "simpo", "reward", "online_dpo")
"""Objectives for which two answers an item go through the model at one time."""

WHOLE = ("orpo", "cpo", "simpo", "online_dpo", "gkd", "gold", "sdft", "distill")
"""Objectives for which trl 1.16 makes the logits of all positions at one time."""


PASSES = {"fsdp2": (False, False), "zero2": (False, True), "zero3": (True, True)}
"""How a strategy has weights that are computed with in 16 bits: whether it gathers them so, and whether autocast, which
makes them so else, keeps what it makes to the end of the pass forward."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of the longest row or pack, and positions with a loss in it; `source`: where the numbers come from."""

    longest: int
    labelled: int
    source: str


@dataclass(frozen=True)
class Training:
    """A stage that trains."""

    what: str
    section: str
    """Of params.yaml, whose keys change what it takes."""
    settings: Any
    """How long, and in what batches."""
    tuned: Any
    """`settings` with the method by which it tunes."""
    config: Any
    """transformers' configuration of the base."""
    lengths: Lengths
    packed: bool = False
    card: bool = True
    teacher: Teacher | None = None
    """The model in data/guides that it learns from, where it is there."""
    _measured: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def batch(self, settings: Any) -> Batch:
        """What goes through the model at one time."""
        longest, labelled = self.lengths.longest, self.lengths.labelled
        if self.what == "train" and settings.classifies:
            return Batch(settings.batch_size, longest, labelled, masked=settings.batch_size > 1, scores=True)
        if self.what == "train" and settings.embeds:  # a question and a document a row; wrong ones are not known yet
            lines = min(2 * settings.batch_size, settings.contrast.chunk or 2 * settings.batch_size)
            return Batch(lines, longest, labelled, masked=True, scores=True)
        if self.what == "train":
            return batch_of(settings, longest, labelled, packed=self.packed, card=self.card)
        name = settings.objective
        lines = settings.batch_size * (2 if name in PAIRED else 1)
        scores = OBJECTIVES[name].trains_reward_model
        return Batch(lines, longest, labelled, masked=lines > 1, tiled=name not in WHOLE, scores=scores)

    def price(self, settings: Any = None) -> Price:
        """What each process takes by its settings, or by changed ones."""
        settings = settings or self.tuned
        launch = launch_of(settings)
        return self.plan(launch.strategy, launch.world, settings, offload=launch.offload).price

    def plan(self, strategy: str, cards: int, settings: Any = None, *, offload: bool = False) -> Plan:
        """What each of `cards` takes under `strategy`, by its settings or by changed ones. DDP offloads nothing."""
        settings = settings or self.tuned
        need, copies = self.need(settings), 2 if self._compares(settings) else 1
        if strategy == "ddp":
            cost = whole(need, settings.optimizer, card=self.card, processes=cards)
            held = self._teacher_bytes(settings)
            return Plan(replace(cost, weights=copies * cost.weights + held.weights, logits=cost.logits + held.logits))
        work = Work(
            need=need,
            stages=self.stages(strategy, settings),
            optimizer=settings.optimizer,
            cards=cards,
            computing=self.computing(settings),
            card=self.card,
            accumulated=settings.gradient_accumulation > 1,
            copies=copies,
        )
        return plan(strategy, work, offload=offload)

    def need(self, settings: Any) -> Need:
        """What it takes on one card; known after the first call."""
        return self._once("", settings, measure)

    def stages(self, strategy: str, settings: Any) -> Stages:
        """What its passes take where cards divide what `strategy` divides; known after the first call."""
        halves, cached = PASSES[strategy]
        return self._once(strategy, settings, partial(measure_divided, halves=halves, cached=cached))

    def _once(self, name: str, settings: Any, measuring: Callable[..., Measured]) -> Measured:
        key = f"{name} {settings.model_copy(update={'optimizer': ''}).model_dump_json()}"  # passes do not know it
        if key not in self._measured:
            self._measured[key] = measuring(
                self.what, self.config, settings, settings, self.batch(settings), bfloat16=self._bfloat16(settings)
            )
        measured: Measured = self._measured[key]
        return measured

    def computing(self, settings: Any) -> int:
        """Bytes of a number in the type that is computed in."""
        return 2 if self._bfloat16(settings) else 4

    def _bfloat16(self, settings: Any) -> bool:
        return settings.dtype != "float32" if self.card else _computes_in_bfloat16(settings, self.config)

    def _teacher_bytes(self, settings: Any) -> Held:
        """What the teacher, and a loss that looks at its probabilities, take besides."""
        if self.what == "train":
            return Held()
        batch = self.batch(settings)
        size = int(self.config.get_text_config().vocab_size)
        return bytes_held(settings.objective, self.teacher, batch.lines * batch.tokens, size)

    def _compares(self, settings: Any) -> bool:
        """Whether a copy of the model is there to compare with."""
        own = METHODS[settings.method].kind is None
        return own and self.what == "align" and OBJECTIVES[settings.objective].uses_reference

    def looks_at_whole_batch(self) -> bool:
        """Whether the loss of a batch is another than that of its parts, so that passes cannot be split or joined."""
        if self.what == "train":
            return bool(self.settings.embeds)
        objective = OBJECTIVES[self.settings.objective]
        return objective.measures_alone({**objective.preset, **self.settings.arguments}.get("loss_type"))

    def about(self) -> str:
        """What the numbers hold for."""
        settings, batch = self.tuned, self.batch(self.tuned)
        loss = "scores" if batch.scores else "loss in tiles" if batch.tiled else "loss on all logits at once"
        if self.what == "train" and settings.embeds:
            loss = "loss on vectors of texts"
        kept = "activations computed again" if settings.gradient_checkpointing else "activations kept"
        if self.what == "align" and OBJECTIVES[self.settings.objective].uses_teacher:
            kept += ", with the teacher" if self.teacher else ", not counting the teacher, which is missing"
        of = f"batches of {batch.lines} x {batch.tokens} tokens"
        if batch.lines == 1 < settings.batch_size:
            items = "packs" if self.packed else "rows"
            of = f"batches of {settings.batch_size} {items} in one line of {batch.tokens} tokens"
        return (
            f"{settings.method}, {settings.optimizer}, {of} ({self.lengths.source}), "
            f"attention {attention(self.config)}, {loss}, {kept}"
        )


def launch_of(settings: Any) -> Launch:
    """How many processes train by `settings`, and what each of them holds."""
    return getattr(settings, "launch", None) or Launch()


def engine_share(settings: Any) -> float:
    """Share of a card's memory that vLLM takes beside the training by `settings`; 0 where it has none or its own."""
    generation = getattr(settings, "generation", None)
    if generation is None or generation.engine == "model" or generation.server:
        return 0.0
    return float(generation.memory)


def _computes_in_bfloat16(settings: Any, config: Any) -> bool:
    from tasks.training.arguments import bfloat16, width

    return bfloat16(settings.dtype, True, width(config))


def attention(config: Any) -> str:
    """The kernel of attention that transformers takes for the base."""
    return str(getattr(config, "_attn_implementation", None) or "sdpa")


def trainings(params: Path, paths: Paths, card: bool = True) -> list[Training]:
    """The stages that train by the file `params`. Raises `InputError` where the base's configuration is not there."""
    train, align = load(Train, params, "train"), load(Align, params, "align")
    template = load(Template, params, "template")
    if not train.enabled and align.objective == "off":
        return []
    config = base_config(params, paths)
    lengths = row_lengths(paths, template, config)
    stages = []
    if train.enabled:
        stages.append(Training("train", "train", train, train, config, lengths, template.packing, card))
    if align.objective != "off":
        goes_on = align.start == "train" and not OBJECTIVES[align.objective].trains_reward_model and train.enabled
        tuned = (
            align.model_copy(update={name: getattr(train, name) for name in Tuning.model_fields}) if goes_on else align
        )
        teacher = read_teacher(paths, align) if OBJECTIVES[align.objective].uses_teacher else None
        stages.append(Training("align", "align", align, tuned, config, lengths, card=card, teacher=teacher))
    return stages


def base_config(params: Path, paths: Paths) -> Any:
    """transformers' configuration of the base: of the project's folder, of the one that was trained, or of the hub."""
    from transformers import AutoConfig

    folder: Any = None
    options: dict[str, Any] = {}
    if (configured := configured_base()) is not None:
        folder = configured[1]
    elif hub := (read(params, "safe").get("base") or {}).get("hub"):
        folder, _, options["revision"] = str(hub).partition("@")
    elif (paths.base / "base.json").is_file():
        folder = base_folder(paths)
    if folder is None:
        from tasks.base.pretrain import configuration

        architecture = load(Base, params, "base").architecture
        return configuration(architecture, architecture.vocabulary)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{PATHS.params}: the configuration of the base {folder} cannot be read "
            f"({' '.join(str(error).split())[:200]}); check base.folder or base.hub, and the network."
        ) from None


def row_lengths(paths: Paths, template: Template, config: Any) -> Lengths:
    """Of the data as the stage template left them; before that, what its settings allow."""
    context = getattr(config.get_text_config(), "max_position_embeddings", None) or ASSUMED
    try:
        audit = json.loads(paths.audit.read_text())
        counts, longest = audit["splits"]["train"]["trained"], audit["splits"]["train"]["lengths"]["max"]
        if template.packing:
            longest = template.max_length or audit["max_length"]["tokens"]
        share = counts["supervised_tokens"] / max(counts["tokens"], 1) or 1.0
        return Lengths(int(longest), max(1, round(longest * min(share, 1.0))), "the longest row of your data")
    except (OSError, ValueError, KeyError):
        pass
    if template.max_length:
        return Lengths(template.max_length, template.max_length, "template.max_length")
    if template.packing:
        return Lengths(context, context, "the base's context, which packs fill")
    longest = min(context, ASSUMED)
    return Lengths(longest, longest, "assumed; set template.max_length or run on your data for a better estimate")
