"""A model folder as a teacher, in this process. One prompt at a time, each with its own seed: no answer depends on
which others were asked, so a resumed run answers like an undisturbed one. For many rows a server is faster.

Shapes: `B` prompts of a batch (1 here), `T` tokens of the prompt, `N` tokens of the answer.
"""

import json
from pathlib import Path
from typing import Any

from tasks.bounds.limits import Bounds
from tasks.chat.reasoning import ReasoningReader, Split
from tasks.chat.renderer import RENDERING
from tasks.chat.special_tokens import special_tokens, token_pattern
from tasks.core.errors import ModelError, TemperError
from tasks.core.files import fingerprint
from tasks.models.loading import load_model, load_tokenizer
from tasks.models.record import describe, identity
from tasks.teacher.errors import FatalError, RequestError
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Teacher


def local_name(folder: Path) -> str:
    """The model's name and content: the folder's name and the start of the hash of its files."""
    return f"{folder.name}@{identity(describe(folder))[:16]}"


class LocalBackend:
    """A causal language model with a chat template, answering from its folder."""

    ahead = False

    def __init__(self, settings: Teacher, folder: Path | None = None) -> None:
        """Load the model, from `folder` where its files lie elsewhere. Raises `FatalError` where it holds none."""
        import torch

        self._torch = torch
        folder = folder or Path(str(settings.model))
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        device = "cuda" if torch.cuda.is_available() else None
        try:
            self._model = load_model(folder, device=device)
            self._tokenizer = load_tokenizer(folder)
        except (TemperError, OSError, ValueError) as error:
            raise FatalError(f"{settings.model}: no model that can be loaded ({error})", "input") from None
        self.model = local_name(folder)
        self._reader = ReasoningReader.of(self._tokenizer)
        self._specials = token_pattern(special_tokens(self._tokenizer))

    async def ask(self, request: Request) -> Response:
        """Answer `request`. Raises `RequestError` where it does not fit into the context."""
        sampling, torch = request.sampling, self._torch
        text = request.content if request.is_text else self._render(request)
        add_special_tokens = request.is_text and not text.startswith(self._tokenizer.bos_token or "\0")
        ids = self._tokenizer(text, add_special_tokens=add_special_tokens, return_tensors="pt").input_ids
        room = int(self._model.config.get_text_config().max_position_embeddings) - ids.shape[1]
        if room < 1:
            raise RequestError(f"the prompt has {ids.shape[1]} tokens, which is longer than the context")
        max_new_tokens = min(int(sampling["max_tokens"]), room)
        sampler: dict[str, Any] = {"do_sample": False}
        if sampling["temperature"]:
            sampler = {
                "do_sample": True,
                "temperature": sampling["temperature"],
                "top_p": sampling["top_p"],
                "top_k": 0,
            }
        torch.manual_seed(int(fingerprint([sampling.get("seed"), request.key])[:15], 16))
        with torch.inference_mode():
            ids = ids.to(self._model.device)  # (B, T)
            output = self._model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, **sampler,
                pad_token_id=self._tokenizer.pad_token_id or 0, tokenizer=self._tokenizer,
                stop_strings=list(sampling.get("stop", ())) or None,
            )[0, ids.shape[1] :]  # fmt: skip  # (N,)
        reasoning, answer, _ = self._split(text, output.tolist())
        for stop in sampling.get("stop", ()):
            answer = answer.split(stop)[0]
        reason = "length" if len(output) >= max_new_tokens else "stop"
        return Response(answer.strip(), reason, (), ids.shape[1], len(output), reasoning=reasoning)

    def _split(self, prompt: str, output: list[int]) -> Split:
        """Reasoning and answer of the generated ids, without special tokens."""
        opened = self._reader.opened_by(prompt)
        split = self._reader.split(self._tokenizer.decode(output), opened)
        if not (split.reasoning or opened):
            return self._reader.split(self._tokenizer.decode(output, skip_special_tokens=True))
        reasoning, answer = (self._specials.sub("", part) for part in (split.reasoning, split.answer))
        return Split(reasoning, answer, split.ended)

    async def close(self) -> None:
        del self._model

    def _render(self, request: Request) -> str:
        tools: Any = request.sampling.get("tools")
        messages = json.loads(json.dumps(request.content))
        try:
            with Bounds(RENDERING, ModelError):
                return str(
                    self._tokenizer.apply_chat_template(
                        messages, tools=tools, tokenize=False, add_generation_prompt=True
                    )
                )
        except Exception as error:  # templates raise whatever they like
            raise FatalError(f"{self.model}: its chat template cannot render a request: {error}", "input") from None
