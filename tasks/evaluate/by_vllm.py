"""A model that answers and judges batches by vLLM, in this process and on its card.

In this process, because vLLM then works on requests in an order that depends on nothing but them. Prompts are token
ids, and what comes back are token ids: rendering and reading are those of any candidate.
"""

import os
from pathlib import Path
from typing import Any

from tasks.benchmarks import one_line
from tasks.chat.reasoning import Markers, ReasoningReader
from tasks.core.errors import ModelError
from tasks.core.paths import PATHS
from tasks.evaluate.engine_choice import EngineChoice
from tasks.evaluate.shared_prompt import Group, Ids, Scored
from tasks.evaluate.stops import cut_at_stop
from tasks.models.adapter_files import adapter_config
from tasks.models.for_vllm import adapted_modules, reserved_rank, version

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",  # to its makers
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process of its own takes requests as they come
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # what fails is raised here; without this it tells of each file it looks for
}

ROWS = 1024
"""Rows that are handed over together, from which vLLM fills its own batches."""


class ByVllm:
    """See `tasks.evaluate.engine.Computation`. Raises `ModelError` where vLLM does not load the model."""

    name = "vllm"

    def __init__(
        self,
        folders: list[Path],
        choice: EngineChoice,
        tokenizer: Any,
        *,
        dtype: str,
        length: int,
        stop_ids: set[int],
        reader: ReasoningReader,
    ) -> None:
        """`folders`: the model's, perhaps an adapter's, the tokenizer's; `dtype`: of the weights, such as bfloat16.

        `length`: tokens of the longest prompt with its answer; `reader`: tells reasoning, where no stop string counts.
        """
        os.environ.update(ENVIRONMENT)
        import vllm
        from vllm.lora.request import LoRARequest

        first, *adapters, tokenizer_folder = folders
        options: dict[str, Any] = {}
        self._lora = None
        if adapters:
            options = {
                "enable_lora": True,
                "max_loras": 1,
                "max_lora_rank": reserved_rank(adapter_config(adapters[0])),
                # not the head as well, under which vLLM 0.32 cannot give the likelihoods of a prompt
                "lora_target_modules": adapted_modules(adapters[0]),
            }
            self._lora = LoRARequest("adapter", 1, str(adapters[0]))
        self._tokenizer, self._reader, self._stop_ids = tokenizer, reader, sorted(stop_ids)
        self._params = vllm.SamplingParams
        self.version = version()
        try:
            self._llm = vllm.LLM(
                model=str(first),
                tokenizer=str(tokenizer_folder),
                trust_remote_code=False,
                load_format="safetensors",
                dtype=dtype,
                max_model_len=length,
                seed=0,
                gpu_memory_utilization=choice.memory,
                enforce_eager=True,  # nothing is compiled at run time, as in every stage
                generation_config="vllm",  # none of the base's own sampling or penalties
                **options,
            )
        except Exception as error:  # vLLM and its libraries raise many kinds
            raise ModelError(
                f"{PATHS.params}: evaluate.engine: vLLM {self.version} does not load {first} ({one_line(error)}); "
                "change memory or max_length if it says so, or set kind to transformers."
            ) from error

    def answers(
        self, start: int, batch: list[Ids], max_new_tokens: int, stops: tuple[str, ...], opened: list[Markers | None]
    ) -> list[Ids]:
        """See `Computation`."""
        strings = [stop for stop in stops if stop]
        outputs = self._answered(batch, max_new_tokens, strings)
        rows = [list(output.token_ids) for output in outputs]
        # vLLM knows no reasoning, and ends at a stop string in it, too
        early = [
            place
            for place, output in enumerate(outputs)
            if isinstance(output.stop_reason, str) and not self._stopped(rows[place], stops, opened[place])
        ]
        for place, output in zip(early, self._answered([batch[at] for at in early], max_new_tokens, []), strict=True):
            rows[place] = list(output.token_ids)
        return rows

    def _answered(self, batch: list[Ids], max_new_tokens: int, strings: list[str]) -> list[Any]:
        params = self._params(
            temperature=0.0,
            max_tokens=max_new_tokens,
            stop_token_ids=self._stop_ids,
            stop=strings,
            include_stop_str_in_output=True,
            detokenize=bool(strings),
            skip_special_tokens=False,  # a stop string may be one
            spaces_between_special_tokens=False,
        )
        return [output.outputs[0] for output in self._generated(batch, params)]

    def _stopped(self, ids: Ids, stops: tuple[str, ...], opened: Markers | None) -> bool:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return cut_at_stop(text, stops, self._reader, opened) != text

    def likelihoods(self, start: int, groups: list[Group]) -> list[list[Scored]]:
        """See `Computation`. vLLM gives them for each token of a prompt, and makes one token more, which is unread."""
        params = self._params(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = iter(self._generated([context + text for context, texts in groups for text in texts], params))
        return [
            [_scored(next(outputs).prompt_logprobs, len(context), text) for text in texts] for context, texts in groups
        ]

    def _generated(self, prompts: list[Ids], params: Any) -> list[Any]:
        if not prompts:
            return []
        asked = [{"prompt_token_ids": ids} for ids in prompts]
        outputs: list[Any] = self._llm.generate(asked, params, use_tqdm=False, lora_request=self._lora)
        return outputs


def _scored(prompt_logprobs: Any, start: int, text: Ids) -> Scored:
    """The sum over the tokens of `text`, which begins at `start`, and whether each was the likeliest."""
    entries = [prompt_logprobs[start + place][token] for place, token in enumerate(text)]
    return sum(float(entry.logprob) for entry in entries), all(entry.rank == 1 for entry in entries)
