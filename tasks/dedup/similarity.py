"""What a near-duplicate is: one definition for the stage that makes rows and the stage that checks them.

Two texts are near-duplicates when the Jaccard similarity of their sets of words is at least a threshold. Words are
what is between white space, in lower case, without punctuation around them; names such as `golang:edge` stay whole.
"""

from collections.abc import Collection

NEAR_DUPLICATE = 0.8
"""Jaccard similarity from which two texts count as near-duplicates unless settings say otherwise (share, 0 to 1)."""

_AROUND = ".,;:!?\"'()[]{}<>`\u201c\u201d\u2018\u2019\u00ab\u00bb\u2026"  # the last ones: quotes, guillemets, ellipsis


def words(text: str) -> list[str]:
    """The words of `text` in order: lower case, no punctuation around them, empty ones left out."""
    return [word for part in text.lower().split() if (word := part.strip(_AROUND))]


def jaccard(one: Collection[str], other: Collection[str]) -> float:
    """Size of the intersection over size of the union of two sets; 1.0 for two empty ones."""
    one, other = set(one), set(other)
    union = len(one | other)
    return len(one & other) / union if union else 1.0
