"""Imported for what it does: heavy imports after it do less, by the functions of `tasks.core.imports`.

A stage imports it, and so does the server from which `tasks.models.reload` forks, which can call no function.
"""

from tasks.core.imports import collect_seldom, spare_transformers

collect_seldom()
spare_transformers()
