"""A model that writes, against its quantised copy: logits of the same rows. A classifier's are of classes."""

from pathlib import Path
from typing import Any

import torch

from tasks.chat.stops import config_stop_ids
from tasks.core.errors import CheckFailed
from tasks.core.numbers import shown
from tasks.core.paths import PATHS, Paths
from tasks.models.classes import is_classifier
from tasks.models.equivalence import Difference, compare, logits, probes
from tasks.models.gguf.proof import check_reading, read_back
from tasks.models.gguf.stops import named_stops
from tasks.models.loading import gguf_file, load_model, load_tokenizer
from tasks.quantize.settings import Settings


class Logits:
    """What the merged model computes, and how far a copy may be from it."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        self.settings, self.merged = settings, paths.merged
        model = load_model(paths.merged, torch.float32)
        size, classifies = model.config.get_text_config().vocab_size, is_classifier(model.config)
        self.rows = probes(paths.templated, settings.probes, size, prompts=classifies)
        self.expected = logits(model, self.rows)
        self.stops = set() if classifies else config_stop_ids(paths.merged)
        self.vocabulary = int(model.get_input_embeddings().num_embeddings)
        """Rows of the embeddings."""

    def compare(self, out: Path, scheme: str, advice: str) -> tuple[dict[str, Any], str]:
        """What is measured of the copy in `out`, and that in a few words.

        Raises `CheckFailed` where it is too far away, with `advice` how to do without it.
        """
        difference = compare(self.expected, self._read_back(out, scheme), str(PATHS.quantized(scheme)), self.stops)
        self._judge(difference, scheme, advice)
        words = (
            f"{shown(difference.divergence, 2)} nats per token from merged, same next token in "
            f"{difference.agreement:.1%}"
        )
        return {"max_divergence": self._limit(scheme), **difference.as_dict()}, words

    def _read_back(self, out: Path, scheme: str) -> list[torch.Tensor]:
        """Logits of the rows by what lies in `out`; llama.cpp itself computes and reads a GGUF file."""
        file = gguf_file(out)
        if file is None:
            return logits(load_model(out), self.rows)
        tokenizer = load_tokenizer(self.merged)
        texts = tokenizer.batch_decode(self.rows)
        reading = read_back(file, self.rows, texts, named_stops(tokenizer, self.stops).known)
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
        check_reading(reading, ids, str(PATHS.quantized(scheme)))
        return list(map(torch.from_numpy, reading.logits))

    def _limit(self, scheme: str) -> float:
        return self.settings.limits.get(scheme, self.settings.max_divergence)

    def _judge(self, difference: Difference, scheme: str, advice: str) -> None:
        where, limit = PATHS.quantized(scheme), self._limit(scheme)
        if difference.divergence > limit:
            key = f"limits.{scheme}" if scheme in self.settings.limits else "max_divergence"
            raise CheckFailed(
                f"{where}: diverges from the merged model by {shown(difference.divergence, 3)} nats per token, more "
                f"than quantize.{key} = {shown(limit)} allows (same next token in {difference.agreement:.1%}); "
                f"{advice} raise the limit."
            )
        for share, least, key, what in (
            (difference.agreement, self.settings.min_same_tokens, "min_same_tokens", "the next token"),
            (difference.stops, self.settings.min_same_stops, "min_same_stops", "whether to stop"),
        ):
            if share < least:
                raise CheckFailed(
                    f"{where}: agrees with the merged model on {what} in {share:.1%} of {difference.tokens} positions, "
                    f"less than quantize.{key} = {shown(least)} requires; {advice} lower the limit."
                )
