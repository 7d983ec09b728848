"""Rows that are alike: near-duplicates by MinHash, in memory that does not grow with the data."""
