"""What predictions.parquet has beside scores."""

RESERVED = {"id", "slice", "source", "length", "prompt", "reference", "output", "tokens", "finish"}
"""Columns of predictions.parquet that are no scores."""
