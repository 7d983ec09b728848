"""How a p-value is written, wherever one is.

>>> format_p_value(0.0312), describe_p_value(0.00001)
('0.0312', 'p < 0.0001')
"""

SMALLEST = 0.0001
"""Below it only that is written."""


def format_p_value(p: float) -> str:
    """A p-value as papers print it, for a table."""
    return f"< {SMALLEST}" if p < SMALLEST else f"{p:.4f}"


def describe_p_value(p: float) -> str:
    """The same in a sentence, with its name."""
    return f"p {format_p_value(p)}" if p < SMALLEST else f"p = {format_p_value(p)}"
