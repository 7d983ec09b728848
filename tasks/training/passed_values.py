"""Values of arguments that params.yaml passes on to trl, checked before anything is trained: types, and what optimisers
and courses of the learning rate make of theirs.
"""

import inspect
import math
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import Trainer, get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.named.choices import hint
from tasks.training.optimizers import PROJECTING
from tasks.training.settings import Optimization

SAMPLED = 50
"""Steps at which a course of the learning rate is looked at."""

_GIVEN_BY_TEMPER = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "timescale")


def check_types(what: str, kind: Any, further: dict[str, Any]) -> None:
    """Raise `SettingsError` where a value is of another type than trl's class `kind` declares."""
    hints = get_type_hints(kind)
    for name, value in further.items():
        if name == "loss_type":
            continue  # one name or a list of them, which trl turns into the other; settings know the names
        adapter = TypeAdapter(hints[name], config=ConfigDict(strict=True, arbitrary_types_allowed=True))
        forms = (value, tuple(value) if isinstance(value, list) else [value])  # YAML has no tuples; trl takes both
        try:
            if not any(_fits(adapter, form) for form in forms):
                adapter.validate_python(value)
        except ValidationError as error:
            wanted = str(hints[name]).replace("typing.", "")
            wanted = getattr(hints[name], "__name__", wanted) if "|" not in wanted else wanted
            raise SettingsError(
                f"{PATHS.params}: {what}.arguments.{name} = {value!r}: trl takes {wanted}; "
                f"{error.errors()[0]['msg'][0].lower()}{error.errors()[0]['msg'][1:]}."
            ) from None


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def check_scheduler(what: str, settings: Optimization, chosen: Any) -> None:
    """Raise `SettingsError` where the course of the learning rate does not take `chosen` (lr_scheduler_kwargs)."""
    key, kwargs = f"{PATHS.params}: {what}.arguments.lr_scheduler_kwargs", chosen or {}
    if not isinstance(kwargs, dict):
        raise SettingsError(f"{key} = {chosen!r}: give a mapping, such as {{min_lr: 1e-5}}.")
    function = TYPE_TO_SCHEDULER_FUNCTION[settings.scheduler]
    known = set(inspect.signature(function).parameters) - set(_GIVEN_BY_TEMPER)
    if settings.scheduler in ("constant", "constant_with_warmup"):
        known = set()
    for name in kwargs:
        if name not in known:
            advice = hint(str(name), known) if known else "it has none, so remove it."
            raise SettingsError(f"{key}: {settings.scheduler} has no {name!r}; {advice}")
    total = settings.step_count
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings.learning_rate)
    try:
        scheduler = get_scheduler(
            settings.scheduler, optimizer, settings.warmup_steps, total, scheduler_specific_kwargs=dict(kwargs)
        )
        steps = sorted({total * part // SAMPLED for part in range(SAMPLED + 1)} | {settings.warmup_steps})
        rates = [float(scheduler.lr_lambdas[0](step)) for step in steps]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{key}: the schedule {settings.scheduler} rejects it: {reason}.") from None
    for step, rate in zip(steps, rates, strict=True):
        if not (isinstance(rate, float) and math.isfinite(rate) and rate >= 0):
            raise SettingsError(f"{key}: the learning rate would be {rate} times its peak at step {step}; change it.")


def check_optimizer(what: str, settings: Optimization, values: Any) -> None:
    """Raise `SettingsError` where the optimiser does not read `optim_args` of `values`, or not all of them."""
    if not values.optim_args:
        return
    key = f"{PATHS.params}: {what}.arguments.optim_args"
    pairs = dict(part.partition("=")[::2] for part in values.optim_args.replace(" ", "").split(","))
    if bad := [name for name, value in pairs.items() if not name or not value]:
        raise SettingsError(f"{key} = {values.optim_args!r}: write name=value,name=value; see {bad[0]!r}.")
    if settings.optimizer == "muon":
        raise SettingsError(f"{key}: muon has no such arguments; remove it.")
    everything = _options(key, values, pairs)
    for name in pairs:
        if _options(key, values, {other: value for other, value in pairs.items() if other != name}) == everything:
            raise SettingsError(
                f"{key}: {name} = {pairs[name]} has no effect on {settings.optimizer}; remove it, or see transformers' "
                "documentation for this optimizer's arguments."
            )


def _options(key: str, values: Any, pairs: dict[str, str]) -> str:
    """What transformers makes of `pairs`, after the optimiser has taken it."""
    model = torch.nn.ModuleDict({"attn": torch.nn.Linear(4, 4), "mlp": torch.nn.Linear(4, 4)})
    kept, values.optim_args = values.optim_args, ",".join(f"{name}={value}" for name, value in pairs.items())
    try:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(values, model)
        parameters = options.pop("params", None) or options.pop("optimizer_dict", None) or list(model.parameters())
        if not any(name in str(values.optim) for name in PROJECTING):
            kind(parameters, **options)
        groups = [
            {name: one for name, one in group.items() if name != "params"}
            for group in parameters
            if isinstance(group, dict)
        ]
        return repr((sorted(options.items(), key=str), groups))
    except (TypeError, ValueError, AttributeError, KeyError, AssertionError) as error:
        raise SettingsError(f"{key} = {kept!r}: the optimizer rejects it: {' '.join(str(error).split())}.") from None
    finally:
        values.optim_args = kept
