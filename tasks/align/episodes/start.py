"""What episodes start from: their beginnings, what plays them, and whether the chat template can write them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.align.episodes import definitions, prompts
from tasks.align.episodes.play import Player
from tasks.align.episodes.prompts import Openings
from tasks.align.episodes.settings import Episodes
from tasks.align.episodes.toolbox import Toolbox
from tasks.align.episodes.turns import Turns
from tasks.align.settings import Settings
from tasks.chat.stops import stop_ids
from tasks.core.errors import ModelError
from tasks.core.json_files import read_object
from tasks.core.paths import Paths
from tasks.models.record import base_folder
from tasks.models.text_config import text_part


@dataclass(frozen=True)
class Beginning:
    """What a run of episodes starts from."""

    player: Player
    training: Openings
    held_out: Openings
    """Of the validation split; none where it has none, or none are wanted."""
    files: list[Path]
    """Where both come from."""


def begin(settings: Settings, paths: Paths, tokenizer: Any) -> Beginning:
    """Load the user's files, and read the rows. Raises `InputError` or `ModelError`."""
    turns = check_template(settings.episodes, paths, tokenizer, stop_ids(paths.tokenizer, tokenizer))
    player = Player(settings.episodes, Toolbox(settings.episodes, paths), turns, _context(base_folder(paths)))
    room = None if player.context is None else player.context - settings.answer_tokens
    files = [paths.rows("train"), paths.rows("validation")]
    training, validation = (prompts.read(file, settings.prompts, turns, room) for file in files)
    prompts.check(training, files[0])
    return Beginning(player, training, validation.drawn(settings.episodes.held_out), files)


def check_template(episodes: Episodes, paths: Paths, tokenizer: Any, stops: set[int]) -> Turns:
    """The turns of episodes by the chat template of `tokenizer`; nothing of the user's files runs.

    `stops`: ids of tokens that end turns. Raises `ModelError` where the template cannot write such episodes,
    `InputError` where a tool or the environment is not there.
    """
    environment = definitions.environment(episodes, paths)
    tools = [*definitions.tools(episodes, paths), *(environment.tools if environment else ())]
    turns = Turns(tokenizer, stops, tools)
    turns.check(steps=bool(environment and environment.steps))
    return turns


def _context(folder: Path) -> int | None:
    """Tokens that the base in `folder` reads; None where it does not say."""
    value = text_part(read_object(folder / "config.json", ModelError)).get("max_position_embeddings")
    return value if isinstance(value, int) and value > 0 else None
