"""Scores of one answer against its reference; `registry` has an entry for each."""
