"""`temper chat`: talk to one or more models in the terminal, and mark answers as rows for the next run."""

import asyncio
import readline  # noqa: F401 - `input` then edits lines, and has the earlier ones
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.chat.stops import stop_ids
from tasks.core.errors import InputError, TemperError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS, Paths
from tasks.core.settings import PARAMS, load
from tasks.evaluate.questions import answer_room
from tasks.evaluate.settings import Settings
from tasks.serve.app import Service
from tasks.serve.engine import EngineError, Piece
from tasks.serve.fields import Fields, Stream
from tasks.serve.models import models
from tasks.serve.prompts import RequestError
from tasks.serve.run import Loaded, held_out_rows, load_models

HELP = """\
/system [TEXT]       show the system prompt, or set it and start over
/reset               start over
/limit TOKENS|off    let an answer have so many tokens, or all that the context has room for
/save good|bad       save the last answer as a row of data; with several models: /save good NAME
/save better NAME    save NAME's answer as better than the other one
/help, /quit         Ctrl-C stops an answer, Ctrl-D quits"""

BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")

Turn = dict[str, Any]


def chat(names: list[str], system: str | None, temperature: float, paths: Paths = PATHS) -> int:
    """Talk until the person has enough."""
    settings = load(Settings, paths.root / PARAMS, "evaluate")
    loaded = load_models(models(names, settings, paths), settings, system, paths)
    dialogue = Dialogue(loaded.service, temperature, limits=answer_limits(loaded, paths))
    if sys.stdin.isatty():
        print(f"Talking to {' and '.join(loaded.service.voices)}. /help lists the commands.", flush=True)
    with asyncio.Runner() as runner:
        while dialogue.take(_read(), runner.run):
            pass
    loaded.service.collector.tell()
    return 0


def answer_limits(loaded: Loaded, paths: Paths) -> dict[str, int]:
    """Tokens that an answer may have in the evaluation, by model; none of a model where nothing says how many."""
    if loaded.settings.max_new_tokens:
        return dict.fromkeys(loaded.service.voices, loaded.settings.max_new_tokens)
    held_out, limits = held_out_rows(paths), {}
    for model in loaded.models if held_out else []:
        tokenizer, engine = loaded.tokenizers[model.name], loaded.service.voices[model.name].engine
        stops = stop_ids(model.folders[0], tokenizer)
        limits[model.name] = answer_room(held_out, tokenizer, stops, engine.context(model.name))
    return limits


def _read() -> str:
    """The next line; of a file or a pipe without a prompt, so that only answers are written."""
    talking = sys.stdin.isatty()
    try:
        return input(f"{BOLD}you>{PLAIN} " if talking else "")
    except (EOFError, KeyboardInterrupt):
        if talking:
            print()
        return "/quit"


@dataclass
class Dialogue:
    """What was said to the models, and by each of them."""

    service: Service
    temperature: float = 0.0
    show: Callable[[str], None] = field(default=lambda text: print(text, end="", flush=True))
    warn: Callable[[str], None] = field(default=lambda line: print(line, file=sys.stderr, flush=True))
    """Takes what is about an answer: to standard output go the answers."""
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    """By model: the dialogue without the system prompt."""
    system: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    """By model: tokens that an answer may have; one that is not there has what the context has room for."""
    _thinks: bool = field(default=False, init=False)
    """Whether what was shown last is what the model thinks."""

    def __post_init__(self) -> None:
        self.system = self.service.system
        self.turns = {name: [] for name in self.service.voices}

    def take(self, line: str, run: Callable[[Any], Any] = asyncio.run) -> bool:
        """Carry out a line; whether there may be another."""
        command, _, rest = line.strip().partition(" ")
        if not command.startswith("/"):
            if line.strip():
                self._ask(line.strip(), run)
            return True
        try:
            self._carry_out(command, rest.strip())
        except TemperError as error:
            self.show(f"{error}\n")
        return command != "/quit"

    def _carry_out(self, command: str, rest: str) -> None:
        if command == "/system" and not rest:
            self.show(f"{self.system or 'There is no system prompt.'}\n")
        elif command in ("/system", "/reset"):
            self.system = rest or self.system
            self.turns = {name: [] for name in self.turns}
            self.show("A new dialogue.\n")
        elif command == "/limit":
            self._limit(rest)
        elif command == "/save":
            self._save(*rest.split())
        elif command == "/help":
            self.show(f"{HELP}\n")
        elif command != "/quit":
            raise InputError(f"{command}: no such command; /help lists them.")

    def _ask(self, question: str, run: Callable[[Any], Any]) -> None:
        for name, turns in self.turns.items():
            turns.append({"role": "user", "content": question})
            self.show(f"{BOLD}{name}>{PLAIN} " if len(self.turns) > 1 else "")
            try:
                answer, cut = run(self._answer(name))
            except (RequestError, EngineError) as error:
                full = isinstance(error, RequestError) and error.code == "context_length_exceeded"
                self.show(f"{error}{'; /reset starts over' if full else ''}\n")
                turns.pop()
                continue
            except KeyboardInterrupt:
                self.show(f"{DIM} stopped{PLAIN}\n")
                turns.pop()
                continue
            more = {"reasoning_content": answer.reasoning} if answer.reasoning else {}
            turns.append({"role": "assistant", "content": answer.content, **more})
            self.show("\n")
            if cut:
                self.warn(cut)

    def _limit(self, tokens: str) -> None:
        if tokens != "off" and not (tokens.isdecimal() and int(tokens)):
            raise InputError("/limit takes a number of tokens, such as 200, or off.")
        self.limits = {} if tokens == "off" else dict.fromkeys(self.turns, int(tokens))

    async def _answer(self, name: str) -> tuple[Fields, str]:
        """What the model says, shown as it comes; and what cut it, "" for an answer that ended by itself."""
        voice = self.service.voices[name]
        limit = self.limits.get(name)
        body = {"model": name, "messages": self._messages(name), **({"max_tokens": limit} if limit else {})}
        prompt = voice.prompter.prompt({**body, "temperature": self.temperature})
        stream, self._thinks, last = Stream(voice.reader, prompt), False, Piece()
        async for last in voice.engine.stream(name, prompt.ask):
            self._tell(stream.feed(last.text))
        self._tell(stream.end())
        if last.finish != "length":
            return stream.whole(), ""
        if prompt.ask.max_tokens == limit:
            return stream.whole(), f"Cut after {counted(limit, 'tokens')}. /limit TOKENS allows more."
        context = counted(voice.engine.context(name), "tokens")
        return stream.whole(), f"Cut at the {context} of the model's context. /reset starts over."

    def _messages(self, name: str) -> list[Turn]:
        return [*([{"role": "system", "content": self.system}] if self.system else []), *self.turns[name]]

    def _tell(self, new: Fields) -> None:
        """Show what is new of an answer: what the model thinks on lines of its own."""
        if new.reasoning:
            self.show(f"{DIM}{_shown(new.reasoning)}{PLAIN}")
        if new.content and (self._thinks or new.reasoning):
            self.show("\n")
        self._thinks = not new.content and (self._thinks or bool(new.reasoning))
        self.show(_shown(new.content))

    def _save(self, verdict: str = "", name: str = "", *more: str) -> None:
        names = list(self.turns)
        if verdict not in ("good", "bad", "better") or more:
            raise InputError("/save takes good, bad or better, and a name if you talk to several models.")
        if verdict == "better" and len(names) != 2:
            raise InputError("/save better compares two models; start with two of them: temper chat merged base.")
        name = name or (names[0] if len(names) == 1 else "")
        if name not in names:
            raise InputError(f"/save {verdict} which? Give one of {', '.join(names)}.")
        *before, last = self._messages(name) or [{}]
        if last.get("role") != "assistant":
            raise InputError(f"{name} has not answered yet, so there is nothing to save.")
        marked = {"verdict": verdict, "messages": before, **_answer_of(name, last), "sampling": self._sampling}
        if verdict == "better":
            other = next(one for one in names if one != name)
            if self.turns[other][:-1] != self.turns[name][:-1]:
                raise InputError("the two models have different dialogues; /reset, and ask both again.")
            marked["rejected"] = _answer_of(other, self.turns[other][-1])
        self.show(f"Saved: {', '.join(self.service.collector.save(marked))}\n")

    @property
    def _sampling(self) -> dict[str, float]:
        return {"temperature": self.temperature}


def _answer_of(name: str, turn: Turn) -> dict[str, Any]:
    return {"model": name, "answer": turn["content"], "reasoning": turn.get("reasoning_content", "")}


def _shown(text: str) -> str:
    """A text of a model without what a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text)
