"""LLaMA-Factory's YAML, with dataset_info.json beside its data."""
