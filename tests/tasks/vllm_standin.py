"""Stands for the package vllm where there is no card: what trl and `evaluate` take of it, by transformers on the
processor.

Copied as `vllm/__init__.py` into a folder of the path. Weights, sampling and likelihoods are real; what is not there is
speed, memory, and NCCL: see `tests.tasks.align.test_generation`, which sends the weights to a server in a file. Names,
defaults and shapes are those of vLLM 0.32; an argument that is not listed here is refused.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

__path__: list[str] = []
SYNCS = Path("syncs.txt")
"""Of the current folder: a line each time the weights have come, with how many they were."""


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def install(folder: Path) -> None:
    """Put this file into `folder` as an installed package, of a version that trl knows."""
    (folder / "vllm").mkdir(parents=True)
    shutil.copy(__file__, folder / "vllm" / "__init__.py")
    about = folder / "vllm-0.30.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.30.0\n")
    (about / "top_level.txt").write_text("vllm\n")


@torch.no_grad()
def answer(
    model: Any, prompt: list[int], params: dict[str, Any], generator: torch.Generator, tokenizer: Any = None
) -> tuple[list[int], list[float], int | str | None]:
    """Ids behind `prompt`, sampled or (temperature 0) the likeliest, how likely each was, and what ended them."""
    ids, likelihoods = list(prompt), []
    ends = {model.config.eos_token_id, *(params.get("stop_token_ids") or ())}
    while len(ids) < len(prompt) + params["max_tokens"]:
        logits = model(torch.tensor([ids])).logits[0, -1].float() / (params["temperature"] or 1.0)
        log_probabilities = logits.log_softmax(-1)
        greedy = not params["temperature"]
        drawn = logits.argmax() if greedy else torch.multinomial(log_probabilities.exp(), 1, generator=generator)
        ids.append(int(drawn))
        likelihoods.append(float(log_probabilities[ids[-1]]))
        if ids[-1] in ends:
            return ids[len(prompt) :], likelihoods, ids[-1]
        if params.get("stop"):
            text = tokenizer.decode(ids[len(prompt) :], skip_special_tokens=params["skip_special_tokens"])
            if stop := next((stop for stop in params["stop"] if stop in text), None):
                return ids[len(prompt) :], likelihoods, stop
    return ids[len(prompt) :], likelihoods, None


@torch.no_grad()
def prompt_logprobs(model: Any, prompt: list[int]) -> list[dict[int, "Logprob"] | None]:
    """For each token of a prompt but the first, its own entry: what `prompt_logprobs=0` asks for."""
    log_probabilities = model(torch.tensor([prompt])).logits[0].float().log_softmax(-1)
    entries: list[dict[int, Logprob] | None] = [None]
    for place, token in enumerate(prompt[1:]):
        value = log_probabilities[place, token]
        entries.append({token: Logprob(float(value), int((log_probabilities[place] >= value).sum()))})
    return entries


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
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False

    def __post_init__(self) -> None:
        assert not self.stop or self.detokenize, "stop strings are looked for in text"
        assert self.max_tokens > 0


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool = True


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str = ""


@dataclass
class Options:
    """Further arguments of `LLM`, some of them of its `EngineArgs`."""

    max_model_len: int
    tokenizer: str | None = None
    trust_remote_code: bool = False
    tensor_parallel_size: int = 1
    dtype: str = "auto"
    quantization: str | None = None
    seed: int = 0
    gpu_memory_utilization: float = 0.92
    enforce_eager: bool = False
    load_format: str = "auto"
    generation_config: str = "auto"
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    lora_target_modules: list[str] | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enable_sleep_mode: bool = False
    model_impl: str = "auto"
    distributed_executor_backend: str | None = None
    logprobs_mode: str = "raw_logprobs"

    def __post_init__(self) -> None:
        assert 0 < self.gpu_memory_utilization < 1
        assert self.dtype in ("auto", "float32", "bfloat16", "float16")
        assert self.max_lora_rank in (1, 8, 16, 32, 64, 128, 256, 320, 512)
        assert not self.trust_remote_code


class LLM:
    def __init__(self, model: str, **options: Any) -> None:
        self.options = Options(**options)
        kind = "float32" if self.options.dtype == "auto" else self.options.dtype
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, kind)).eval()
        assert self.options.max_model_len <= self.model.config.max_position_embeddings
        self.generator, self.received = seeded(self.options.seed), 0
        worker = SimpleNamespace(model_runner=SimpleNamespace(model=self))
        self.llm_engine = SimpleNamespace(model_executor=SimpleNamespace(driver_worker=worker))
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.options.tokenizer) if self.options.tokenizer else None
        self.adapted: Any = None

    def load_weights(self, weights: Any) -> None:
        self.received += load_weights(self.model, weights)

    def reset_prefix_cache(self) -> None:
        with SYNCS.open("a") as file:
            print(self.received, file=file)
        self.received = 0

    def generate(
        self,
        prompts: list[dict[str, Any]],
        sampling_params: SamplingParams,
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[RequestOutput]:
        model = self._with(lora_request)
        return [self._answered(model, prompt["prompt_token_ids"], sampling_params) for prompt in prompts]

    def _with(self, lora_request: LoRARequest | None) -> Any:
        if lora_request is None:
            return self.model
        assert self.options.enable_lora and lora_request.lora_int_id > 0
        if self.adapted is None:
            from peft import PeftModel

            self.adapted = PeftModel.from_pretrained(self.model, lora_request.lora_path).eval()
        return self.adapted

    def _answered(self, model: Any, ids: list[int], params: SamplingParams) -> RequestOutput:
        assert params.n == 1
        assert 0 < len(ids) < self.options.max_model_len, "a prompt leaves room for one token"
        most = min(params.max_tokens, self.options.max_model_len - len(ids))
        values = {**vars(params), "max_tokens": most}
        tokens, likelihoods, ended = answer(model, ids, values, self.generator, self.tokenizer)
        text = self.tokenizer.decode(tokens) if params.detokenize and self.tokenizer else ""
        pairs = zip(tokens, likelihoods, strict=True)
        logprobs = None
        if params.logprobs is not None:
            assert self.options.logprobs_mode == "processed_logprobs"
            logprobs = [{token: Logprob(value, 1)} for token, value in pairs]
        asked = None if params.prompt_logprobs is None else prompt_logprobs(model, ids)
        finish, stop = ("length", None) if ended is None else ("stop", ended)
        return RequestOutput("0", None, ids, asked, [CompletionOutput(0, text, tokens, None, logprobs, finish, stop)])


def _module(name: str, **members: Any) -> None:
    module: Any = ModuleType(f"{__name__}.{name}")
    module.__path__ = []
    vars(module).update(members)
    sys.modules[f"{__name__}.{name}"] = module


_module("sampling_params", StructuredOutputsParams=SimpleNamespace)
_module("lora")
_module("lora.request", LoRARequest=LoRARequest)
_module("utils")
_module("utils.network_utils", get_ip=lambda: "127.0.0.1")
_module("distributed")
_module("distributed.weight_transfer")
_module("distributed.weight_transfer.nccl_common", trainer_init=None)
_module("distributed.weight_transfer.packed_tensor", packed_nccl_broadcast_producer=None)
