"""Cards as people write them: the memory of one, how many a host has, how many hosts there are.

parse("80GB x 8 x 2")  # Cluster(memory=80 * 2**30, cards=8, hosts=2)
"""

import re
from dataclasses import dataclass

from tasks.core.errors import SettingsError

UNITS = {
    "": 2**30, "gb": 2**30, "gib": 2**30, "g": 2**30, "mb": 2**20, "mib": 2**20, "m": 2**20, "tb": 2**40, "tib": 2**40,
}  # fmt: skip
"""Bytes of what cards are sold by: their GB are GiB, but for what the driver holds."""

MOST = 100_000
"""Cards of a cluster, at most: more are a slip of the keyboard."""

FORM = "write MEMORY, MEMORY x CARDS or MEMORY x CARDS x HOSTS, as in --card 80GB x 8"


@dataclass(frozen=True)
class Cluster:
    """Cards that train together."""

    memory: int
    """Bytes of one card."""
    cards: int | None = None
    """Cards of a host; None: as many as the settings start processes there."""
    hosts: int = 1

    @property
    def world(self) -> int:
        """Cards in all."""
        return self.cards_a_host * self.hosts

    @property
    def cards_a_host(self) -> int:
        """Cards of a host; one where nothing says more."""
        return self.cards or 1

    def about(self) -> str:
        """How many cards of what memory."""
        hosts = f" on each of {self.hosts:,} hosts" if self.hosts > 1 else ""
        return f"{self.cards_a_host:,} cards of {self.memory / 2**30:.2f} GiB{hosts}"


def size(text: str, what: str = "memory of a card") -> int:
    """Bytes of `text`, such as 24GB, 80 GiB or 24564MiB; `ValueError` where it is no size."""
    lowered = text.strip().lower().replace(" ", "")
    number = lowered.rstrip("gmibt")
    unit = UNITS.get(lowered[len(number) :], 0)
    amount = float(number) * unit if re.fullmatch(r"\d{1,6}(\.\d+)?", number) else 0.0
    if not 2**20 <= amount < 2**50:
        raise ValueError(f"{text!r} is not a valid size for the {what}")
    return round(amount)


def parse(text: str) -> Cluster:
    """Read `text`: memory, cards of a host, hosts, with an x between; the memory may stand last where it has a unit.

    "80GB", "80GB x 8", "80GBx8", "8 x 80GB" and "80GB x 8 x 2" are understood. Raises `SettingsError`.
    """
    parts = [part.strip() for part in re.split(r"[xX\u00d7*]", text)]
    with_unit = [number for number, part in enumerate(parts) if re.search(r"[gmtib]", part.lower())]
    try:
        if len(parts) > 3 or "" in parts:
            raise ValueError(f"{text!r} does not say memory, cards and hosts")
        if len(parts) > 1 and len(with_unit) != 1:
            raise ValueError(f"{text!r} does not say which number is the memory")
        if len(parts) == 3 and with_unit != [0]:
            raise ValueError(f"{text!r} does not say which number counts the cards of a host")
        memory = size(parts.pop(with_unit[0] if with_unit else 0))
        counts = [_count(part) for part in parts]
        if counts and not counts[0] * (counts[1] if counts[1:] else 1) <= MOST:
            raise ValueError(f"{text!r} means more than {MOST:,} cards")
    except ValueError as error:
        raise SettingsError(f"check --card: {error}; {FORM}.") from None
    return Cluster(memory, *counts)


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise ValueError(f"{text!r} is not a valid number of cards or hosts")
    return int(text)
