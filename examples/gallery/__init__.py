"""Rows for three runs of docs/gallery, drawn from the grammar in data/seed: `python -m examples.gallery classifier`."""
