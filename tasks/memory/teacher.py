"""What a teacher in data/guides takes of the memory beside the student that learns from it.

held = bytes_held("gkd", read_teacher(Paths(), settings), tokens=2048, vocabulary=32_000)
"""

from dataclasses import dataclass

from tasks.align import guides
from tasks.align.settings import Settings
from tasks.core.paths import Paths

FLOAT32 = 4
"""Bytes of a number: teachers are loaded, and probabilities compared, in float32."""

BESIDE = {"gkd": 14, "gold": 9, "sdft": 4, "distill": 2}
"""Numbers that the loss of an objective has in use at one time for each logit of the student, besides those of a cross
entropy; the teacher's logits are among them. Measured on 512 tokens of 32,000 (torch 2.13, CPU): gkd with beta 0.5,
gold with a teacher of as many tokens as the student, sdft with 100 of them compared."""


@dataclass(frozen=True)
class Teacher:
    """A model that is learned from."""

    weights: int
    """Numbers in it."""
    vocabulary: int
    """Tokens that it knows; 0 where its configuration does not tell."""


@dataclass(frozen=True)
class Held:
    """Bytes besides those of the student."""

    weights: int = 0
    logits: int = 0


def read_teacher(paths: Paths, settings: Settings) -> Teacher | None:
    """The teacher of `settings`, by its files' headers and its configuration; None where it is not there."""
    weights = guides.weights(paths, settings.teacher)
    if not weights:
        return None
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(paths.guides / str(settings.teacher), trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        return Teacher(weights, 0)  # said by whoever loads it
    return Teacher(weights, int(getattr(config.get_text_config(), "vocab_size", 0) or 0))


def bytes_held(objective: str, teacher: Teacher | None, tokens: int, vocabulary: int) -> Held:
    """What the teacher and the loss take for `tokens` positions of a student that knows `vocabulary` tokens."""
    widest = max(vocabulary, teacher.vocabulary if teacher else 0)
    return Held(FLOAT32 * teacher.weights if teacher else 0, FLOAT32 * BESIDE.get(objective, 0) * tokens * widest)
