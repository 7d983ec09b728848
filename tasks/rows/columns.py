"""What predictions.parquet has beside scores."""

RESERVED = {
    "id", "slice", "source", "length", "prompt", "reference", "reference_reasoning", "output", "reasoning", "tokens",
    "finish",
}  # fmt: skip
"""Columns of predictions.parquet that are no scores."""


def class_columns(metric: str) -> tuple[str, str]:
    """Columns of a metric of classes, which are texts: the class of the reference, and that of the answer, if any."""
    return f"{metric}_class", f"{metric}_answer"
