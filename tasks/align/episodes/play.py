"""Episodes of the model: its turns, what tools and environment reply, and which of the tokens are its own.

Shapes: an episode has `C` tokens behind its prompt; `mask` (C) is 1 on those that the model wrote, and 0 on those of
replies, which are read and not trained.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.align.episodes.prompts import Opening
from tasks.align.episodes.settings import Episodes
from tasks.align.episodes.toolbox import KEY, Toolbox, World
from tasks.align.episodes.turns import Answer, Turns
from tasks.align.users_code import Late
from tasks.chat.renderer import Unrenderable
from tasks.core.errors import InputError
from tasks.core.files import fingerprint

ENDS = {
    "answered": "the model called no tool",
    "over": "the environment ended the episode",
    "turns": "max_turns was reached",
    "length": "a turn or the episode reached its limit of tokens",
    "seconds": "the environment took longer than tool_seconds",
    "unread": "a tool call could not be parsed",
    "refused": "the chat template rejected the reply",
}
"""How an episode ends, and what that means."""

CHARACTERS = 100
"""Of a token, at most, on the average of a text. One that would be too long even so is not tokenised: that may take
minutes for megabytes."""

Generate = Callable[[list[list[int]]], list[list[int]]]
"""Prompts to turns of the model, as ids, each with the token that ended it or cut."""


@contextmanager
def own_draws() -> Iterator[None]:
    """Go on afterwards as if nothing had been drawn from the generators of Python and NumPy."""
    kept = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


@dataclass
class Episode:
    """One of them."""

    opening: Opening
    world: World
    prompt: list[int]
    """Ids, with what the environment said at the beginning."""
    room: int
    """Most tokens behind the prompt."""
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    """role, text, calls (name and arguments) and tokens of each turn behind the prompt."""
    end: str = ""
    """Of `ENDS`; "" while it goes on."""
    failed: int = 0
    """Calls that failed."""
    worth: float | None = None
    """What the environment said; None where it says nothing."""

    @property
    def last(self) -> str:
        """What the model said in its last turn."""
        return str(next((turn["text"] for turn in reversed(self.turns) if turn["role"] == "assistant"), ""))

    def write(self, ids: list[int], own: bool, turn: dict[str, Any]) -> None:
        """Add tokens, of the model itself or of a reply."""
        self.ids += ids
        self.mask += [int(own)] * len(ids)
        self.turns.append({"calls": [], **turn, "tokens": len(ids)})


@dataclass(frozen=True)
class Player:
    """What plays episodes."""

    episodes: Episodes
    toolbox: Toolbox
    turns: Turns
    context: int | None
    """Tokens that the model can read; None: any number."""

    def play(self, openings: list[Opening], generate: Generate, draws: str) -> list[Episode]:
        """An episode for each opening, all of them a turn at a time. Raises `InputError` for a broken environment.

        `draws`: names the round. What an environment draws as it is reset depends on that and on the row alone, so that
        all answers to a prompt meet the same task, and a run that goes on meets it again.
        """
        with own_draws():
            return self._play(openings, generate, draws)

    def _play(self, openings: list[Opening], generate: Generate, draws: str) -> list[Episode]:
        episodes = []
        for opening in openings:
            seed = int(fingerprint([draws, opening.id])[:8], 16)
            random.seed(seed)
            np.random.seed(seed)
            episodes.append(self._begin(opening))
        for number in range(1, self.episodes.max_turns + 1):
            running = [episode for episode in episodes if not episode.end]
            if not running:
                break
            answers = generate([episode.prompt + episode.ids for episode in running])
            for episode, ids in zip(running, answers, strict=True):
                self._turn(episode, ids, last=number == self.episodes.max_turns)
        for episode in episodes:
            episode.worth = episode.world.reward()
        return episodes

    def _begin(self, opening: Opening) -> Episode:
        world = self.toolbox.begin(opening.question, opening.reference)
        prompt = list(opening.ids)
        if text := self.turns.bare(world.opening):
            *before, question = opening.messages
            joined = "\n\n".join(part for part in (question["content"], text) if part)
            if self.context is not None and len(text) > CHARACTERS * self.context:
                raise InputError(
                    f"{KEY}.environment: what reset returns for the row {opening.id} has {len(text):,} characters, but "
                    f"the model's context is {self.context:,} tokens; return a shorter text."
                )
            prompt = self.turns.prompt([*before, {**question, "content": joined}])
        room = self.episodes.max_tokens
        if self.context is not None:
            room = min(room, self.context - len(prompt))
        if room < 1:
            raise InputError(
                f"{KEY}.environment: with the text from reset, row {opening.id} has {len(prompt)} tokens, but "
                f"the model's context is {self.context}; return a shorter text."
            )
        return Episode(opening, world, prompt, room)

    def _turn(self, episode: Episode, ids: list[int], *, last: bool) -> None:
        """A turn of the model, and the reply; `last`: whether no further turn may follow."""
        ids = ids[: episode.room - len(episode.ids)]
        answer = self.turns.read(ids, episode.prompt + episode.ids)
        calls = [{"name": call.name, "arguments": call.arguments} for call in answer.calls]
        episode.write(ids, True, {"role": "assistant", "text": answer.text, "calls": calls})
        if not self.turns.ended(ids):
            episode.end = "length"
        elif answer.unread:
            episode.end = "unread"
        else:
            self._reply(episode, answer, last)

    def _reply(self, episode: Episode, answer: Answer, last: bool) -> None:
        texts: list[str] = []
        if answer.calls:
            for call in answer.calls:
                text, failed = episode.world.call(call)
                texts.append(text)
                episode.failed += failed
        elif episode.world.steps:
            try:
                text, over = episode.world.step(answer.text)
            except Late:
                episode.end = "seconds"
                return
            texts.append(text)
            episode.end = "over" if over else ""
        else:
            episode.end = "answered"
            return
        role = "tool" if answer.calls else "user"
        room = episode.room - len(episode.ids)
        if not episode.end and sum(len(text) for text in texts) > CHARACTERS * room:
            episode.end = "length"
        if not (episode.end or last):
            try:
                ids = self.turns.replies(answer, texts)
            except Unrenderable:
                episode.end = "refused"
            else:
                episode.end = "" if len(ids) < room else "length"
        if episode.end or last:  # what was replied stands in the ledger, and the model does not read it
            episode.end = episode.end or "turns"
            ids = []
        for at, text in enumerate(texts):
            episode.write(ids if at == len(texts) - 1 else [], False, {"role": role, "text": self.turns.bare(text)})
