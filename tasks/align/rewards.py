"""What an answer is worth: functions that trl's trainers call with prompts, answers and references."""

import importlib
import importlib.util
import math
import re
from collections.abc import Callable
from typing import Any

import torch

from tasks.align.prompts import place
from tasks.align.settings import Reward, Settings
from tasks.core.errors import InputError
from tasks.core.paths import Paths

Worth = Callable[..., list[float]]
"""Called with lists, an item an answer: prompts (token ids), completions (text), completion_ids, reference (text)."""


def worth(settings: Settings, paths: Paths, tokenizer: Any) -> list[Worth]:
    """The functions for `settings.rewards`, in their order. Raises `InputError` where one cannot be had."""
    return [
        _named(f"{index}_{reward.kind}", _worth(reward, f"align.rewards.{index}", paths, tokenizer))
        for index, reward in enumerate(settings.rewards)
    ]


def _named(name: str, function: Worth) -> Worth:
    function.__name__ = name  # by which trl logs it
    return function


def _worth(reward: Reward, key: str, paths: Paths, tokenizer: Any) -> Worth:
    if reward.kind == "model":
        return _model(reward, key, paths, tokenizer)
    if reward.kind == "function":
        return _function(reward, key, paths, tokenizer)
    if reward.kind == "exact_match":
        return lambda completions, reference, **rest: [
            float(answer.strip() == wanted.strip()) for answer, wanted in zip(completions, reference, strict=True)
        ]
    found = re.compile(reward.pattern or "")
    return lambda completions, **rest: [float(found.search(answer) is not None) for answer in completions]


def ready(settings: Settings, paths: Paths) -> None:
    """Raise `InputError` where a function cannot be loaded, or a reward model is not there."""
    for index, reward in enumerate(settings.rewards):
        key = f"align.rewards.{index}"
        if reward.kind == "function":
            _loaded(reward, key, paths)
        elif reward.kind == "model":
            place(paths, reward.name or "", f"{key}.name")


def _loaded(reward: Reward, key: str, paths: Paths) -> Any:
    """The user's function."""
    module, _, attribute = (reward.name or "").partition(":")
    try:
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(module.removesuffix(".py"), paths.guides / module)
            assert spec and spec.loader
            loaded = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaded)
        else:
            loaded = importlib.import_module(module)
        return getattr(loaded, attribute)
    except Exception as error:  # whatever a user's file does
        raise InputError(
            f"{paths.guides / module if module.endswith('.py') else module}: {key}.name cannot be had from it: "
            f"{type(error).__name__}: {error}"
        ) from None


def _function(reward: Reward, key: str, paths: Paths, tokenizer: Any) -> Worth:
    score = _loaded(reward, key, paths)

    def called(prompts: Any, completions: Any, reference: Any, **rest: Any) -> list[float]:
        texts = tokenizer.batch_decode(prompts)
        scores = []
        for prompt, answer, wanted in zip(texts, completions, reference, strict=True):
            try:
                value = float(score(prompt, answer, wanted))
            except Exception as error:
                raise InputError(
                    f"{key}: {reward.name} fails on the answer {answer!r}: {type(error).__name__}: {error}"
                ) from None
            if not math.isfinite(value):
                raise InputError(f"{key}: {reward.name} returns {value} for the answer {answer!r}; return a number.")
            scores.append(value)
        return scores

    return called


def _model(reward: Reward, key: str, paths: Paths, tokenizer: Any) -> Worth:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = place(paths, reward.name or "", f"{key}.name")
    if AutoTokenizer.from_pretrained(folder, trust_remote_code=False).get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"{folder}: the tokens of this reward model are not those of the base, so it cannot read what the base "
            f"writes; train one with align.objective: reward on the same base."
        )
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model.eval().requires_grad_(False)
    if torch.cuda.is_available():
        model.cuda()

    def scored(prompts: Any, completion_ids: Any, **rest: Any) -> list[float]:
        scores = []
        for prompt, answer in zip(prompts, completion_ids, strict=True):  # one by one: no padding, so no other bits
            with torch.no_grad():
                ids = torch.tensor([list(prompt) + ended(answer, tokenizer)], device=model.device)
                scores.append(model(input_ids=ids).logits.item())
        return scores

    return scored


def ended(answer: list[int], tokenizer: Any) -> list[int]:
    """`answer` without what fills it up; where the end of a turn is what fills up, one of them is the answer's own."""
    kept = list(answer)
    while kept and kept[-1] == tokenizer.pad_token_id:
        kept.pop()
    if len(kept) < len(answer) and tokenizer.pad_token_id == tokenizer.eos_token_id:
        kept.append(tokenizer.eos_token_id)
    return kept
