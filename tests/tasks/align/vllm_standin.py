"""Stands for the package vllm where there is no card: what trl takes of it, by transformers on the processor.

Copied as `vllm/__init__.py` into a folder of the path. Weights, sampling and likelihoods are real; what is not there is
speed, memory, and NCCL: see `tests.tasks.align.test_generation`, which sends the weights to a server in a file.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM

__path__: list[str] = []
SYNCS = Path("syncs.txt")
"""Of the current folder: a line each time the weights have come, with how many they were."""


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def answer(model: Any, prompt: list[int], params: dict[str, Any], generator: torch.Generator) -> tuple[Any, Any]:
    """Sampled ids behind `prompt`, and how likely each was after temperature."""
    ids, likelihoods = list(prompt), []
    while len(ids) < len(prompt) + params["max_tokens"]:
        logits = model(torch.tensor([ids])).logits[0, -1] / params["temperature"]
        log_probabilities = logits.log_softmax(-1)
        ids.append(int(torch.multinomial(log_probabilities.exp(), 1, generator=generator)))
        likelihoods.append(float(log_probabilities[ids[-1]]))
        if ids[-1] == model.config.eos_token_id:
            break
    return ids[len(prompt) :], likelihoods


def load_weights(model: Any, weights: Any) -> int:
    """Put `weights` in the place of those of the same name; none may be unknown, or have another shape."""
    own = dict(model.state_dict())
    count = 0
    for name, weight in weights:
        own[name].copy_(weight.reshape(own[name].shape))
        count += 1
    return count


@dataclass
class SamplingParams:
    n: int
    temperature: float
    max_tokens: int
    logprobs: int
    repetition_penalty: float
    top_p: float
    top_k: int
    min_p: float


@dataclass
class Output:
    token_ids: list[int]
    logprobs: list[dict[int, Any]]


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    outputs: list[Output]


class LLM:
    def __init__(
        self, model: str, seed: int, max_model_len: int, gpu_memory_utilization: float, **options: Any
    ) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self.length, self.generator, self.received = max_model_len, seeded(seed), 0
        worker = SimpleNamespace(model_runner=SimpleNamespace(model=self))
        self.llm_engine = SimpleNamespace(model_executor=SimpleNamespace(driver_worker=worker))
        assert 0 < gpu_memory_utilization < 1
        assert options["logprobs_mode"] == "processed_logprobs"

    def load_weights(self, weights: Any) -> None:
        self.received += load_weights(self.model, weights)

    def reset_prefix_cache(self) -> None:
        with SYNCS.open("a") as file:
            print(self.received, file=file)
        self.received = 0

    def generate(self, prompts: list[dict[str, Any]], sampling_params: SamplingParams, **_: Any) -> list[RequestOutput]:
        assert sampling_params.n == 1
        outputs = []
        for prompt in prompts:
            ids = prompt["prompt_token_ids"]
            assert len(ids) + sampling_params.max_tokens <= self.length
            tokens, likelihoods = answer(self.model, ids, vars(sampling_params), self.generator)
            likeliest = [
                {token: SimpleNamespace(logprob=value, rank=1)}
                for token, value in zip(tokens, likelihoods, strict=True)
            ]
            outputs.append(RequestOutput(ids, [Output(tokens, likeliest)]))
        return outputs


def _module(name: str, **members: Any) -> None:
    module: Any = ModuleType(f"{__name__}.{name}")
    module.__path__ = []
    vars(module).update(members)
    sys.modules[f"{__name__}.{name}"] = module


_module("sampling_params", StructuredOutputsParams=SimpleNamespace)
_module("utils")
_module("utils.network_utils", get_ip=lambda: "127.0.0.1")
_module("distributed")
_module("distributed.weight_transfer")
_module("distributed.weight_transfer.nccl_common", trainer_init=None)
_module("distributed.weight_transfer.packed_tensor", packed_nccl_broadcast_producer=None)
