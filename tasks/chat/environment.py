"""What makes jinja quicker for chat templates, without another result: attributes of dicts, and the JSON of tools."""

from typing import Any

MOST_TOOLS = 500
"""Definitions of tools whose JSON is kept."""

_OF_DICTS = frozenset(dir(dict))


def read(environment: Any, otherwise: Any, value: Any, name: str) -> Any:
    """An attribute as the sandbox gives it, at once where it is a key: of messages and calls nearly all are."""
    if type(value) is dict and name not in _OF_DICTS and name in value:
        return value[name]
    return otherwise(environment, value, name)


class CachedToJson:
    """The filter `tojson`, which remembers what it made of tools: they are the same in each rendering of a row."""

    def __init__(self, to_json: Any) -> None:
        self._to_json = to_json
        self._known: dict[int, tuple[list[Any] | None, dict[tuple[int, str], str]]] = {}
        self._tools: list[Any] | None = None
        self._of: frozenset[int] = frozenset()
        self._made: dict[tuple[int, str], str] = {}

    def keep(self, tools: list[Any] | None) -> None:
        """Take these tools for the next renderings."""
        if tools is not self._tools:
            if len(self._known) > MOST_TOOLS:
                self._known.clear()
            known = self._known.get(id(tools))
            if known is None or known[0] is not tools:
                known = self._known[id(tools)] = tools, {}
            self._of = frozenset()  # a limit of time may end this anywhere, and what is kept must stay right
            self._tools, self._made = known
            self._of = frozenset([id(tools), *map(id, tools or ())])

    def __call__(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if id(value) not in self._of:
            return str(self._to_json(value, *args, **kwargs))
        key = id(value), repr((args, kwargs))
        if key not in self._made:
            self._made[key] = str(self._to_json(value, *args, **kwargs))
        return self._made[key]
