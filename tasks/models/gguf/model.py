"""A GGUF file run by llama.cpp, with the face of a model of transformers as far as stages look at it.

Shapes: `B` rows of a batch, `T` tokens, `V` vocabulary. The cache holds float32, so that the weights alone decide how
far its logits are from those of transformers.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tasks.core.errors import ModelError
from tasks.models.gguf.library import F32, Watch, errors, library

CHUNK = 512
"""Tokens that are computed at once."""

SHORT = 256
"""Tokens of the smallest context; a longer row gets a larger one."""


@dataclass(frozen=True)
class Config:
    """What stages ask of a model's configuration."""

    vocab_size: int
    max_position_embeddings: int
    """Tokens."""

    def get_text_config(self) -> "Config":
        """Itself: a file holds a model of text."""
        return self


class LlamaCpp:
    """The model in `file`. Raises `ModelError` where llama.cpp cannot load it.

    `watch` is called for each tensor that is computed; see `tasks.models.gguf.importance`.
    """

    def __init__(self, file: Path, watch: Callable[[int, bool, Any], bool] | None = None) -> None:
        self._library, self._size = library(), 0
        self._watch = Watch(watch) if watch else None
        self._context: Any = None
        self._model = self._library.llama_model_load_from_file(
            str(file).encode(), self._library.llama_model_default_params()
        )
        if not self._model:
            raise ModelError(f"{file}: llama.cpp cannot load it ({'; '.join(errors[-2:])[:300]}).")
        self._vocabulary = self._library.llama_model_get_vocab(self._model)
        self.config = Config(
            vocab_size=self._library.llama_vocab_n_tokens(self._vocabulary),
            max_position_embeddings=self._library.llama_model_n_ctx_train(self._model),
        )
        self.device = torch.device("cpu")
        self.generation_config: Any = SimpleNamespace(eos_token_id=None, pad_token_id=None)

    def __del__(self) -> None:
        if getattr(self, "_context", None):
            self._library.llama_free(self._context)
        if getattr(self, "_model", None):
            self._library.llama_model_free(self._model)

    def eval(self) -> "LlamaCpp":
        """Itself: it cannot be trained."""
        return self

    def metadata(self, key: str) -> str:
        """What the file says under `key`, up to 64 KiB; "" for nothing."""
        text = ctypes.create_string_buffer(2**16)
        length = self._library.llama_model_meta_val_str(self._model, key.encode(), text, len(text))
        return text.value.decode(errors="replace") if length > 0 else ""

    def ends(self, token: int) -> bool:
        """Whether llama.cpp stops at this token."""
        return bool(self._library.llama_vocab_is_eog(self._vocabulary, token))

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered chat: special tokens are read, and none is added."""
        raw = text.encode()
        room = len(raw) + 16
        ids = (ctypes.c_int32 * room)()
        count = self._library.llama_tokenize(self._vocabulary, raw, len(raw), ids, room, False, True)
        return list(ids[:count])

    def logits(self, row: list[int], last: int = 0) -> npt.NDArray[np.float32]:
        """Logits (T, V) after each token of `row`, or after its `last` ones only."""
        self._prepare(len(row))
        last = last or len(row)
        return np.concatenate([
            self._decode(row[start : start + CHUNK], start, len(row) - last) for start in range(0, len(row), CHUNK)
        ])  # fmt: skip

    def compute(self, row: list[int]) -> None:
        """Compute `row` up to the logits after each token, and keep none: for what is watched meanwhile."""
        self._prepare(len(row))
        for start in range(0, len(row), CHUNK):
            self._decode(row[start : start + CHUNK], start)

    def forward(self, input_ids: Any, attention_mask: Any = None, logits_to_keep: int = 0, **_: Any) -> Any:
        """As transformers: `.logits` (B, T, V), or (B, logits_to_keep, V); those of padding on the left are 0."""
        masks = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        width = logits_to_keep or input_ids.shape[1]
        logits = torch.zeros(len(input_ids), width, self.config.vocab_size)
        for number, (row, mask) in enumerate(zip(input_ids, masks, strict=True)):
            ids = row[mask.bool()].tolist()
            if kept := min(width, len(ids)):
                logits[number, -kept:] = torch.from_numpy(self.logits(ids, kept))
        return SimpleNamespace(logits=logits)

    __call__ = forward

    def generate(
        self, ids: Any, *, attention_mask: Any, max_new_tokens: int, stopping_criteria: Any, do_sample: bool = False
    ) -> Any:
        """As transformers, greedily: prompt and answer (B, T), padded on the right."""
        answers = [
            self._answer(row, mask, max_new_tokens, stopping_criteria)
            for row, mask in zip(ids, attention_mask, strict=True)
        ]
        longest = max(map(len, answers))
        padding = self.generation_config.pad_token_id or 0
        padded = torch.tensor([[*answer, *[padding] * (longest - len(answer))] for answer in answers], dtype=ids.dtype)
        return torch.cat([ids, padded.reshape(len(answers), longest)], 1)

    def _answer(self, row: Any, mask: Any, room: int, stopping_criteria: Any) -> list[int]:
        prompt: list[int] = row[mask.bool()].tolist()
        self._prepare(len(prompt) + room)
        answer: list[int] = []
        following = int(self.logits(prompt, 1)[-1].argmax())
        eos = self.generation_config.eos_token_id
        ends = eos if isinstance(eos, list) else [eos]
        while True:
            answer.append(following)
            if following in ends or len(answer) == room:
                return answer
            whole = torch.cat([row, torch.tensor(answer, dtype=row.dtype)])[None]
            if stopping_criteria and bool(stopping_criteria(whole, None).all()):
                return answer
            following = int(self._decode([following], len(prompt) + len(answer) - 1)[-1].argmax())

    def _prepare(self, tokens: int) -> None:
        """An empty cache for as many tokens."""
        if self._context is None or self._size < tokens:
            if self._context:
                self._library.llama_free(self._context)
            self._size = max(SHORT, -(-tokens // SHORT) * SHORT)
            params = self._library.llama_context_default_params()
            params.n_ctx, params.n_batch, params.n_ubatch = self._size, CHUNK, CHUNK
            params.n_outputs_max = CHUNK
            params.n_threads = params.n_threads_batch = torch.get_num_threads()
            params.type_k = params.type_v = F32
            params.flash_attn_type = 0
            params.cb_eval = ctypes.cast(self._watch, ctypes.c_void_p) if self._watch else None
            self._context = self._library.llama_init_from_model(self._model, params)
            if not self._context:
                raise ModelError(
                    f"llama.cpp cannot open a context of {tokens} tokens ({'; '.join(errors[-2:])[:300]})."
                )
        self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)

    def _decode(self, ids: list[int], start: int, first: int = 0) -> npt.NDArray[np.float32]:
        """Logits (T, V) after the tokens `ids`, which begin at the position `start`; from the position `first` on."""
        batch = self._library.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for number, token in enumerate(ids):
            batch.token[number], batch.pos[number], batch.n_seq_id[number] = token, start + number, 1
            batch.seq_id[number][0] = 0
            batch.logits[number] = int(start + number >= first)
        code = self._library.llama_decode(self._context, batch)
        self._library.llama_batch_free(batch)
        if code:
            raise ModelError(f"llama.cpp could not compute {len(ids)} tokens (code {code}; {'; '.join(errors[-2:])}).")
        size = self.config.vocab_size
        rows = [
            np.ctypeslib.as_array(self._library.llama_get_logits_ith(self._context, number), (size,)).copy()
            for number in range(max(0, first - start), len(ids))
        ]
        return np.stack(rows) if rows else np.empty((0, size), np.float32)
