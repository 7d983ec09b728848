"""Teachers: whether the tokens of those in data/guides are some that an objective can learn from; who taught."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.align import guides
from tasks.align.objectives import OBJECTIVES
from tasks.core.errors import InputError
from tasks.core.files import read_json
from tasks.core.paths import Paths
from tasks.core.yaml_files import parse
from tasks.models.classes import model_config
from tasks.models.loading import load_tokenizer
from tasks.models.skeleton import configured_base

if TYPE_CHECKING:
    from tasks.align.settings import Settings

TOKENIZER = "tokenizer_config.json"


def check(settings: "Settings", paths: Paths, tokenizer: Any = None) -> Path:
    """The teacher's folder; raise `InputError` where its tokens are none that the objective can learn from.

    `tokenizer`: of the rows; None before there are rows: that of the base, where it is there.
    """
    folder = guides.model(paths, settings.teacher or "", "align.teacher")
    tokenizer = tokenizer or _tokenizer(paths)
    others = OBJECTIVES[settings.objective].other_tokens
    if not (folder / TOKENIZER).is_file():
        if others:
            raise InputError(f"{folder}: no tokenizer here, but align.objective gold needs one; put its files there.")
        if tokenizer is not None and model_config(folder).get_text_config().vocab_size < len(tokenizer):
            raise InputError(_other_tokens(folder))
        return folder
    own = load_tokenizer(folder)
    if (size := model_config(folder).get_text_config().vocab_size) < len(own):
        raise InputError(
            f"{folder}: its tokenizer has {len(own):,} tokens, but its model only knows {size:,}; put the model's own "
            "tokenizer there."
        )
    if others and settings.arguments.get("use_extended_uld", True):
        for name, one in ((str(folder), own), ("the base", tokenizer)):
            if one is not None and not _by_bytes(one):
                raise InputError(
                    f"{name}: its tokenizer is not byte-level BPE, but align.objective gold aligns the tokens of both "
                    "models by bytes; set align.arguments to {use_extended_uld: false} to align by position, or "
                    "generate rows with the teacher, and train on them."
                )
    elif not others and tokenizer is not None and own.get_vocab() != tokenizer.get_vocab():
        raise InputError(_other_tokens(folder))
    return folder


def check_width(folder: Path, rows: int) -> None:
    """Raise `InputError` where the teacher gives probabilities of another number of tokens than the base, `rows`."""
    if (own := model_config(folder).get_text_config().vocab_size) != rows:
        raise InputError(
            f"{folder}: this teacher has a vocabulary of {own:,} and the base one of {rows:,}, but align.objective gkd "
            "compares them token by token; use a teacher with the same size, or set align.objective to gold."
        )


def taught(settings: "Settings", paths: Paths) -> dict[str, Any]:
    """Who taught and under which terms, for the model card; {} where nobody but rows and rewards did.

    Of a server: `distilled.json` of the training rows, which the stage distill wrote. Of a folder: its name, and the
    licence that its README.md states as the hub has it.
    """
    objective = OBJECTIVES[settings.objective]
    if objective.uses_distilled:
        return {"from": "a server", **read_json(paths.distilled("train") / "distilled.json", "distill")}
    if objective.uses_teacher:
        folder = guides.model(paths, settings.teacher or "", "align.teacher")
        return {"from": "a folder", "teacher": settings.teacher, "licence": stated_licence(folder)}
    return {}


def stated_licence(folder: Path) -> str:
    """The licence in the front matter of the model's README.md, or `not stated`."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
        values = parse(front[1], "safe") if front else None
    except (OSError, ValueError):
        return "not stated"
    licence = (values.get("license_name") or values.get("license")) if isinstance(values, dict) else None
    return " ".join(str(licence).split()) if licence else "not stated"


def _other_tokens(folder: Path) -> str:
    return (
        f"{folder}: the tokens of this teacher are not those of the base, but align.objective gkd compares the two "
        "token by token; set it to gold."
    )


def _tokenizer(paths: Paths) -> Any:
    configured = configured_base()
    for folder in (paths.tokenizer, *([configured[1]] if configured else [])):
        if (folder / TOKENIZER).is_file():
            return load_tokenizer(folder)
    return None


def _by_bytes(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in f"{backend.pre_tokenizer!r} {backend.decoder!r}"
