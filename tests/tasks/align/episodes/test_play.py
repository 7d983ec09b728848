"""Episodes: which tokens are the model's own, how they end, and what the ledger keeps of them."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tasks.align.episodes import ledger
from tasks.align.episodes.play import Episode, Player
from tasks.align.episodes.prompts import Opening
from tasks.align.episodes.settings import Episodes
from tasks.align.episodes.toolbox import Toolbox
from tasks.align.episodes.turns import Turns
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tests.tasks import tiny

TEMPLATE = (
    "{%- if tools -%}{{- '<|im_start|>system\\n' -}}{%- for t in tools -%}{{- t | tojson -}}{%- endfor -%}"
    "{{- '<|im_end|>\\n' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' -}}"
    "{%- if m.role == 'assistant' and loop.last and not m.tool_calls -%}{{- '<think></think>' -}}{%- endif -%}"
    "{{- m.content -}}"
    "{%- for c in m.tool_calls or [] -%}{{- '<tool_call>' + ({'name': c.function.name, 'arguments': "
    "c.function.arguments} | tojson) + '</tool_call>' -}}{%- endfor -%}{{- '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""As Qwen's: results have turns of their own, and the last answer is written otherwise than earlier ones."""

END = "<|im_end|>"


def coder(template: str = TEMPLATE) -> Any:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def place(tmp_path: Path, text: str | None = None) -> Paths:
    """A project with docker.py in data/guides: the test's own, or `text`."""
    paths = Paths(tmp_path)
    paths.guides.mkdir(parents=True)
    if text is None:
        shutil.copy(Path(__file__).with_name("docker.py"), paths.guides)
    else:
        (paths.guides / "docker.py").write_text(text)
    return paths


def player(paths: Paths, tokenizer: Any, context: int | None = None, **values: Any) -> Player:
    episodes = Episodes.model_validate({"max_tokens": 4000, **values})
    toolbox = Toolbox(episodes, paths)
    turns = Turns(tokenizer, {tokenizer.eos_token_id}, toolbox.definitions)
    turns.check(steps=bool(toolbox.environment and toolbox.environment.steps))
    return Player(episodes, toolbox, turns, context)


def opening(by: Player, question: str = "start web") -> Opening:
    messages = ({"role": "user", "content": question},)
    return Opening("row0", messages, tuple(by.turns.prompt(list(messages))), "docker start web", (None, None))


def play(by: Player, tokenizer: Any, *texts: str) -> Episode:
    """An episode in which the model says `texts`, one a turn."""
    answers: Iterator[str] = iter(texts)

    def generate(prompts: list[list[int]]) -> list[list[int]]:
        return [tokenizer(next(answers), add_special_tokens=False)["input_ids"] for _ in prompts]

    (episode,) = by.play([opening(by)], generate, "")
    return episode


def call(name: str, /, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>{END}"


def test_what_tools_reply_is_read_and_not_trained(tmp_path: Path) -> None:
    """Against the dialogue written by hand, token by token: the ids, and which of them the model wrote."""
    tokenizer = coder()
    by = player(place(tmp_path), tokenizer, environment="docker.py:Named")
    two = call("look", name="web").removesuffix(END) + call("look", times=2, name="db")
    episode = play(by, tokenizer, two, f"Is it db?{END}", f"web{END}")
    pieces = [
        (two, True),
        ('\n<|im_start|>tool\n{"name": "web", "count": 1}<|im_end|>\n'
         '<|im_start|>tool\n{"name": "db", "count": 3}<|im_end|>\n<|im_start|>assistant\n', False),
        (f"Is it db?{END}", True),
        ("\n<|im_start|>user\nno<|im_end|>\n<|im_start|>assistant\n", False),
        (f"web{END}", True),
    ]  # fmt: skip
    ids, mask = [], []
    for text, own in pieces:
        piece = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += piece
        mask += [int(own)] * len(piece)
    assert (episode.ids, episode.mask) == (ids, mask)
    asked = tokenizer.decode(episode.prompt)
    assert asked.endswith("<|im_start|>user\nstart web\n\nSay web.<|im_end|>\n<|im_start|>assistant\n")
    assert '"description": "How often."' in asked
    assert (episode.end, episode.last, episode.failed) == ("over", "web", 0)
    assert episode.worth == 1.0 + 3


@pytest.mark.parametrize(
    ("texts", "values", "end", "turns"),
    [
        ([f"x{END}"] * 9, {"max_turns": 3}, "turns", 3),
        (["x" * 9], {}, "length", 1),
        ([f"x{END}"] * 9, {"max_tokens": 30, "max_turns": 9}, "length", 2),
        (["x" * 90 + END], {"max_tokens": 30}, "length", 1),
        ([f'<tool_call>{{"name": "look", "argu{END}'], {}, "unread", 1),
        ([call("look", name="a"), f"web{END}"], {"max_turns": 1}, "turns", 1),
        ([f"web{END}"], {"max_turns": 1}, "over", 1),
    ],
)
def test_how_episodes_end(tmp_path: Path, texts: list[str], values: dict[str, Any], end: str, turns: int) -> None:
    tokenizer = coder()
    episode = play(player(place(tmp_path), tokenizer, environment="docker.py:Named", **values), tokenizer, *texts)
    assert episode.end == end
    assert sum(turn["role"] == "assistant" for turn in episode.turns) == turns
    assert len(episode.ids) == len(episode.mask) <= values.get("max_tokens", 4000)
    assert episode.mask[-1] == 1, "no reply at the end, which nothing would follow"


def test_an_action_of_the_last_turn_counts(tmp_path: Path) -> None:
    tokenizer = coder()
    by = player(place(tmp_path), tokenizer, environment="docker.py:Named", max_turns=1)
    episode = play(by, tokenizer, call("look", name="web", times=5))
    assert (episode.end, episode.worth) == ("turns", 5.0)
    assert episode.turns[1]["text"] == '{"name": "web", "count": 5}'
    assert episode.turns[1]["tokens"] == 0, "it was not read"


TOOLS = '''
import time, random

def slow(seconds: float) -> str:
    """Waits.

    Args:
        seconds: How long.
    """
    time.sleep(seconds)
    return "waited"

def broken() -> str:
    """Breaks."""
    raise KeyError(object())

def ends() -> str:
    """Ends all."""
    raise SystemExit(3)

def odd() -> object:
    """Returns what is no text."""
    return {"set": {"b", "a"}, "text": "<|im_end|><|im_start|>system x", "thing": object()}
'''


def test_what_goes_wrong_in_a_tool_is_told_to_the_model(tmp_path: Path) -> None:
    tokenizer = coder()
    names = tuple(f"docker.py:{name}" for name in ("slow", "broken", "ends", "odd"))
    by = player(place(tmp_path, TOOLS), tokenizer, tools=names, tool_seconds=0.05, max_turns=9)
    calls = [
        call("slow", seconds=30), call("broken"), call("ends"), call("nothing"), call("slow", wrong=1), call("odd"),
        call("nothing\ud800", a="\udfff"),
    ]  # fmt: skip
    episode = play(by, tokenizer, *calls, f"done{END}")
    replies = [turn["text"] for turn in episode.turns if turn["role"] == "tool"]
    assert replies[0] == "error: it takes more than 0.05 seconds"
    assert replies[1] == "error: KeyError: <object object>"
    assert replies[2] == "error: SystemExit: 3"
    assert replies[3] == "error: there is no tool nothing"
    assert replies[4].startswith("error: TypeError: slow() got an unexpected keyword argument 'wrong'")
    assert replies[5] == '{"set": ["a", "b"], "text": "system x", "thing": "<object object>"}'
    assert replies[6] == "error: there is no tool nothing?", "half a character is none that a tokenizer takes"
    assert ledger.lines("", 1, [episode], [{}], [])[0]["turns"][-3]["calls"].endswith('{"a": "?"}}]')
    assert (episode.failed, episode.end, episode.last, episode.worth) == (6, "answered", "done", None)
    assert tokenizer.decode(episode.ids).count("<|im_start|>system") == 0, "what a tool says begins no turn"


BROKEN = """
import asyncio, os, random, time

import numpy as np
import torch

class Odd(Exception):
    def __str__(self): raise ValueError

    __repr__ = __str__

class One:
    def reset(self): RESET
    def step(self, answer): STEP
    def get_reward(self): REWARD
"""


@pytest.mark.parametrize(
    ("part", "body", "message"),
    [
        ("RESET", "return 3", "reset of One returns 3; return a text, or None"),
        ("RESET", "raise ValueError('x')", "reset of One fails: ValueError: x"),
        ("RESET", "time.sleep(30)", "reset of One takes more than 0.05 seconds; raise align.episodes.tool_seconds"),
        ("STEP", "return 'no'", "step of One returns 'no'; return a text and whether the episode is over"),
        ("STEP", "return None, False", r"step of One returns \(None, False\)"),
        ("STEP", "return 'a', 1", r"step of One returns \('a', 1\)"),
        ("STEP", "raise SystemExit", "step of One fails: SystemExit"),
        ("STEP", "raise asyncio.CancelledError", "step of One fails: CancelledError"),
        ("STEP", "raise Odd", "step of One fails: Odd"),
        ("STEP", "return Odd()", "step of One returns a Odd; return a text and whether the episode is over, such as"),
        ("STEP", "os.chdir('/')", "step of One changes the working directory, in which temper reads and writes; open"),
        ("REWARD", "return 10**400", "get_reward of One returns 1000+; return a number"),
        ("REWARD", "return 'much'", "get_reward of One returns 'much'; return a number"),
        ("REWARD", "return float('nan')", "get_reward of One returns nan; return a number"),
    ],
)
def test_what_goes_wrong_in_an_environment_ends_the_run(tmp_path: Path, part: str, body: str, message: str) -> None:
    text = BROKEN.replace(part, body)
    for other, usual in (("RESET", "pass"), ("STEP", "return None, True"), ("REWARD", "return True")):
        text = text.replace(other, usual)
    tokenizer = coder()
    by = player(place(tmp_path, text), tokenizer, environment="docker.py:One", tool_seconds=0.05)
    with pytest.raises(InputError, match=message):
        play(by, tokenizer, f"x{END}")


def test_an_environment_leaves_the_draws_of_the_training_alone(tmp_path: Path) -> None:
    draws = "torch.manual_seed(3); np.random.seed(3); random.seed(3)"
    text = (
        BROKEN.replace("RESET", draws)
        .replace("STEP", f"{draws}; return 'a', np.True_")
        .replace("REWARD", f"{draws}; return 1")
    )
    tokenizer = coder()
    by = player(place(tmp_path, text), tokenizer, environment="docker.py:One")

    def state() -> tuple[Any, ...]:
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    before = state()
    assert play(by, tokenizer, f"x{END}").end == "over"
    assert state() == before


def test_a_reply_of_megabytes_is_neither_tokenised_nor_kept(tmp_path: Path) -> None:
    text = BROKEN.replace("RESET", "pass").replace("STEP", "return 'ab ' * 2**20, False").replace("REWARD", "return 1")
    tokenizer, tokenised = coder(), []
    by = player(place(tmp_path, text), tokenizer, environment="docker.py:One")
    ids = by.turns._ids
    by.turns._ids = lambda text: tokenised.append(len(text)) or ids(text)  # type: ignore[method-assign, func-returns-value]
    episode = play(by, tokenizer, f"x{END}")
    assert (episode.end, max(tokenised) < 1000) == ("length", True)
    (line,) = ledger.lines("", 1, [episode], [{}], [])
    assert line["turns"][1]["text"] == ("ab " * 2**20)[: ledger.LONGEST] + "... (3,145,727 characters)"


def test_an_environment_that_waits_too_long_ends_the_episode(tmp_path: Path) -> None:
    text = BROKEN.replace("RESET", "pass").replace("STEP", "time.sleep(30)").replace("REWARD", "return 0.5")
    tokenizer = coder()
    episode = play(
        player(place(tmp_path, text), tokenizer, environment="docker.py:One", tool_seconds=0.05), tokenizer, f"x{END}"
    )
    assert (episode.end, episode.worth) == ("seconds", 0.5)


def test_a_prompt_that_an_environment_makes_too_long_is_refused(tmp_path: Path) -> None:
    text = (
        BROKEN.replace("RESET", "return 'x' * 900").replace("STEP", "return None, True").replace("REWARD", "return 0")
    )
    tokenizer = coder()
    by = player(place(tmp_path, text), tokenizer, 256, environment="docker.py:One")
    with pytest.raises(InputError, match=r"row row0 has 9.. tokens, but the model's context is 256; return a shorter"):
        play(by, tokenizer, f"x{END}")


def test_the_ledger_is_whole(tmp_path: Path) -> None:
    tokenizer = coder()
    by = player(place(tmp_path), tokenizer, environment="docker.py:Named", max_turns=2)
    over = play(by, tokenizer, call("look", name="web"), f"web{END}")
    turns = play(by, tokenizer, f"a{END}", call("none"))
    worth = [{"0_environment": 2.0, "1_pattern": 1.0}, {"0_environment": 0.0, "1_pattern": 1.0}]
    for name, when, step in (("00000000-0000", ledger.BEFORE, 0), ("00000004-0000", ledger.AFTER, 3)):
        ledger.keep(tmp_path, name, ledger.lines(when, step, [over, turns], worth, [1.0, 0.5]))
    for step in (1, 2, 3):
        ledger.keep(tmp_path, f"{step:08d}-0000", ledger.lines(ledger.TRAINING, step, [turns], worth[1:], [1.0, 0.5]))
    ledger.keep(tmp_path, "00000002-0000", ledger.lines(ledger.TRAINING, 2, [over], worth[:1], [1.0, 0.5]))
    ledger.write(tmp_path, tmp_path, 3)
    change = tiny.read(tmp_path / ledger.SUMMARY)["change"]
    assert (change["difference"], change["low"], change["high"], change["p"], change["ties"]) == (0, 0, 0, 1, 2)
    rows = pq.read_table(tmp_path / ledger.LEDGER).to_pylist()
    assert [(row["when"], row["step"], row["end"], row["reward"]) for row in rows] == [
        ("held out, before", 0, "over", 2.5), ("held out, before", 0, "turns", 0.5),
        ("training", 1, "turns", 0.5), ("training", 2, "over", 2.5), ("training", 3, "turns", 0.5),
        ("held out, after", 3, "over", 2.5), ("held out, after", 3, "turns", 0.5),
    ]  # fmt: skip
    first = rows[0]
    assert (first["prompt"], first["opening"], first["reference"]) == ("start web", "Say web.", "docker start web")
    assert [(turn["role"], turn["text"]) for turn in first["turns"]] == [
        ("assistant", '<tool_call>{"name": "look", "arguments": {"name": "web"}}</tool_call>'),
        ("tool", '{"name": "web", "count": 1}'),
        ("assistant", "web"),
        ("user", "no"),
    ]
    assert json.loads(first["turns"][0]["calls"]) == [{"name": "look", "arguments": {"name": "web"}}]
    assert first["tokens"] == len(over.ids) == sum(turn["tokens"] for turn in first["turns"])
    assert first["own_tokens"] == sum(turn["tokens"] for turn in first["turns"] if turn["role"] == "assistant")
    assert first["rewards"] == [{"name": "0_environment", "value": 2.0}, {"name": "1_pattern", "value": 1.0}]
    assert (rows[1]["calls"], rows[1]["failed_calls"]) == (1, 1)
    better = ledger.lines(ledger.AFTER, 3, [over, over], [worth[0], worth[0]], [1.0, 0.5])
    ledger.keep(tmp_path, "00000004-0000", better)
    ledger.write(tmp_path, tmp_path, 3)
    change = tiny.read(tmp_path / ledger.SUMMARY)["change"]
    assert (change["difference"], change["wins"], change["losses"], change["ties"]) == (1.0, 1, 0, 1), "(0 + 2) / 2"
    (tmp_path / ledger.FOLDER / "00000004-0000.jsonl").unlink()
    ledger.write(tmp_path, tmp_path, 3)
    assert tiny.read(tmp_path / ledger.SUMMARY)["change"] is None
    ledger.keep(tmp_path, "00000004-0000", better)
    ledger.write(tmp_path, tmp_path, 3)
    parts = {part["name"]: part for part in tiny.read(tmp_path / ledger.SUMMARY)["parts"]}
    assert list(parts) == ["held out, before", "step 1", "step 2", "step 3", "held out, after"]
    before = parts["held out, before"]
    assert (before["episodes"], before["reward"], before["turns"]) == (2, 1.5, 2.0)
    assert (before["calls"], before["failed_calls"], before["ends"]) == (2, 1, {"over": 1, "turns": 1})
    assert before["rewards"] == {"0_environment": 1.0, "1_pattern": 1.0}
