"""How a p-value is told, wherever one is."""

SMALLEST = 0.0001
"""Below it only that is told."""


def chance(p: float) -> str:
    """A p-value as papers print it, for a table."""
    return f"< {SMALLEST}" if p < SMALLEST else f"{p:.4f}"


def p_value(p: float) -> str:
    """The same in a sentence, with its name."""
    return f"p {chance(p)}" if p < SMALLEST else f"p = {chance(p)}"
