"""What predictions.parquet has beside scores."""

RESERVED = {
    "id", "slice", "source", "length", "prompt", "reference", "reference_reasoning", "output", "reasoning", "tokens",
    "finish",
}  # fmt: skip
"""Columns of predictions.parquet that are no scores."""
