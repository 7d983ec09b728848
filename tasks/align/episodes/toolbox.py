"""Tools and environments of the user's as they act: loaded from data/guides, called within a limit of time.

What a tool raises is told to the model as its result, for it to do better; what an environment raises ends the run.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tasks.align.episodes import definitions
from tasks.align.episodes.settings import Episodes
from tasks.align.users_code import ADDRESS, Failure, Late, Raised, users_code
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.named.functions import load_module
from tasks.named.names import inside
from tasks.rows.tool_call import ToolCall

KEY = definitions.KEY


@contextmanager
def fenced(what: str) -> Iterator[None]:
    """Leave the training as it was: torch's draws, and the folder that it writes to. Raises `InputError` for that one.

    `what`: whose doing it is, for the message.
    """
    folder = Path.cwd()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        yield
    if Path.cwd() != folder:
        os.chdir(folder)
        raise InputError(
            f"{what} changes the working directory, in which temper reads and writes; open files by their whole path."
        )


class Toolbox:
    """What the model may call, and the class of its environment."""

    def __init__(self, episodes: Episodes, paths: Paths) -> None:
        """Loads the user's files. Raises `InputError`, whatever they do."""
        self.episodes = episodes
        self.environment = definitions.environment(episodes, paths)
        self.definitions = [
            *definitions.tools(episodes, paths),
            *(self.environment.tools if self.environment else ()),
        ]
        """Of all tools, in OpenAI's form."""
        self._modules: dict[Path, Any] = {}
        self._functions = {
            name.rpartition(":")[2]: self._load(name, f"{KEY}.tools.{index}", paths)
            for index, name in enumerate(episodes.tools)
        }
        self._class = self._load(episodes.environment, f"{KEY}.environment", paths) if episodes.environment else None

    def begin(self, prompt: str, reference: str) -> "World":
        """What one episode acts on. Raises `InputError` where the environment cannot be made."""
        return World(self, self._functions, self._class, {"prompt": prompt, "reference": reference})

    def _load(self, name: str, key: str, paths: Paths) -> Any:
        file, _, attribute = name.rpartition(":")
        path = inside(paths.guides, file, key)
        try:
            with users_code():
                if path not in self._modules:
                    self._modules[path] = load_module(path)
                return getattr(self._modules[path], attribute)
        except Raised as error:
            raise InputError(f"{path}: {key}: {attribute} cannot be loaded from it: {error}") from None


class World:
    """The tools and the environment of one episode; `opening` is what the environment says at its beginning."""

    def __init__(self, toolbox: Toolbox, functions: dict[str, Any], kind: Any, facts: dict[str, str]) -> None:
        """`facts`: what `reset` may be told, by name."""
        self._seconds = toolbox.episodes.tool_seconds
        self._functions = dict(functions)
        self._kind = toolbox.environment
        self.opening = ""
        if self._kind is None:
            return
        known = {name: facts[name] for name in self._kind.facts}
        self._environment = self._ask("__init__", kind)
        for tool in self._kind.tools:
            name = tool["function"]["name"]
            self._functions[name] = getattr(self._environment, name)
        opening = self._ask(definitions.RESET, lambda: self._environment.reset(**known))
        if not isinstance(opening, str | None):
            raise self._fault(definitions.RESET, f"returns {_brief(opening)}; return a text, or None")
        self.opening = as_text(opening or "")

    @property
    def steps(self) -> bool:
        """Whether the environment replies to a turn without calls."""
        return bool(self._kind and self._kind.steps)

    def call(self, call: ToolCall) -> tuple[str, bool]:
        """The result of a call as text, and whether it failed."""
        if call.name not in self._functions:
            return as_text(f"error: there is no tool {call.name}"), True
        with fenced(f"{KEY}: the tool {call.name}"):
            try:
                with users_code(self._seconds):
                    return as_text(self._functions[call.name](**call.arguments)), False
            except Failure as error:
                return as_text(f"error: {error}"), True

    def step(self, answer: str) -> tuple[str, bool]:
        """What the environment replies, and whether the episode is over. Raises `Late`, and `InputError`."""
        reply = self._ask(definitions.STEP, lambda: self._environment.step(answer))
        text, over = reply if isinstance(reply, tuple) and len(reply) == 2 else (None, None)
        if not isinstance(over, bool | np.bool_) or not isinstance(text, str | None) or (text is None and not over):
            raise self._fault(
                definitions.STEP,
                f"returns {_brief(reply)}; return a text and whether the episode is over, such as ('no', False)",
            )
        return as_text(text or ""), bool(over)

    def reward(self) -> float | None:
        """What the environment says that the episode was worth; None where it says nothing."""
        if self._kind is None or not self._kind.rewards:
            return None
        value = self._ask(definitions.REWARD, lambda: self._environment.get_reward())
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self._fault(definitions.REWARD, f"returns {_brief(value)}; return a number")
        return number

    def _ask(self, method: str, work: Callable[[], Any]) -> Any:
        with fenced(f"{KEY}.environment: {method} of {self._kind.name if self._kind else ''}"):
            try:
                with users_code(self._seconds):
                    return work()
            except Late as error:
                if method == definitions.STEP:
                    raise
                late = str(error).removeprefix("it ")
                raise self._fault(method, f"{late}; raise {KEY}.tool_seconds, or fix the environment") from None
            except Raised as error:
                raise self._fault(method, f"fails: {error}") from None

    def _fault(self, method: str, what: str) -> InputError:
        name = self._kind.name if self._kind else ""
        return InputError(f"{KEY}.environment: {method} of {name} {what}.")


def as_text(value: Any) -> str:
    """What was returned, as the model reads it: a text as it is, all else as JSON; the same in every process."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return ADDRESS.sub("", text).encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


def _brief(value: Any) -> str:
    try:
        shown = repr(value)
    except Exception:  # an object of the user's own may fail to say what it is
        shown = f"a {type(value).__name__}"
    return ADDRESS.sub("", shown)[:100]
