"""What cells of a table say of classes: the name of one, a number that stands for it, a list of any number, flags.

>>> columns = Columns(question="text", classes="tags", separator=";")
>>> class_name(" late ", columns), listed("late; broken", columns), listed(["late"], columns)
(' late ', '["late", "broken"]', '["late"]')
"""

import ast
from collections.abc import Mapping
from typing import Any

from tasks.clean.content import Unusable, as_text
from tasks.clean.flags import as_flag, as_number
from tasks.clean.settings import Columns
from tasks.rows.label_lists import as_answer
from tasks.rows.tool_call import as_value

BAD_CLASSES = (
    "In rows with bad_classes, a value in the columns of clean.columns.classes is not a class name, a list of names, 0 "
    "or 1."
)
"""The sentence on rows that leave for that reason."""


def class_name(value: Any, columns: Columns) -> str:
    """The name of a class, which may be given by its number. Raises `Unusable` where the number has no name."""
    number = as_number(value)
    if number is None or isinstance(value, bool):
        return as_text(value)
    if not number.is_integer() or not 0 <= number < len(columns.labels):
        raise Unusable("unnamed_class")
    return columns.labels[int(number)]


def listed(value: Any, columns: Columns) -> str:
    """The classes of a cell as the answer that lists them: of a list, or of a text with `columns.separator`.

    Without a separator a text may be a list in JSON's or Python's form, as in a CSV, or else it is one class. An empty
    cell is no class where a separator parts them; without one it is `bad_classes`.
    """
    if columns.separator is not None and (value is None or isinstance(value, str)):
        names = [name.strip() for name in value.split(columns.separator)] if value and value.strip() else []
        return as_answer(class_name(name, columns) for name in names)
    parts = _parts(value) if isinstance(value, str) else value
    if parts is None or parts == "":
        raise Unusable("bad_classes")
    if not isinstance(parts, list | tuple):
        parts = [parts]
    if any(isinstance(part, list | tuple | dict | bool) or part is None for part in parts):
        raise Unusable("bad_classes")
    return as_answer(class_name(part, columns) for part in parts)


def flagged(value: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The columns of `names` that are true in a row, as the answer that lists them.

    >>> flagged({"toxic": 1, "insult": "0"}, ("toxic", "insult"))
    '["toxic"]'
    """
    flags = {name: as_flag(value.get(name)) for name in names}
    if None in flags.values():
        raise Unusable("bad_classes")
    return as_answer(name for name, flag in flags.items() if flag)


def _parts(text: str) -> Any:
    if not text.lstrip().startswith("["):
        return text.strip()
    parts = as_value(text)
    if isinstance(parts, str):
        try:
            parts = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return text.strip()
    return parts
