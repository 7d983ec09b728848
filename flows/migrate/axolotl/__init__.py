"""Axolotl's YAML, with its data sets."""
