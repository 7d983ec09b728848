"""Imported for what it does: calls the functions of `tasks.core.imports` before any other import.

A server from which processes are forked imports modules by their names, and calls nothing.
"""

from tasks.core.imports import collect_seldom, spare_transformers

collect_seldom()
spare_transformers()
