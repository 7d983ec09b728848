"""A private value in a text."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["secret", "iban", "card", "email", "phone", "ip"]

KINDS: tuple[Kind, ...] = ("secret", "iban", "card", "email", "phone", "ip")
"""Every kind; where two findings overlap, the earlier kind here counts."""


@dataclass(frozen=True)
class Finding:
    """Where a value stands, characters from `start` up to `end`, and of what kind it is."""

    start: int
    end: int
    kind: Kind
