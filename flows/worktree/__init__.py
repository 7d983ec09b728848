"""A checkout for each deployed run, and what it leaves."""
