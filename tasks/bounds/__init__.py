"""Bounds on time and memory, for work whose size a stranger decides."""
