"""What a text model cannot read, refused by name: pictures, sounds, films, and several texts where one is wanted."""

import re
from typing import Any

from tasks.clean.content import Turn, Unusable
from tasks.clean.names import Kind, is_empty, modality_of
from tasks.clean.turns import turns

_FILE = re.compile(
    r"(?i)\.(?:png|jpe?g|gif|webp|bmp|tiff?|svg|heic|wav|mp3|flac|ogg|m4a|opus|mp4|webm|avi|mov|mkv)\b"
    r"|^(?:https?|data|file|s3|gs|hf):"
)
_PARTS = {"image": "image", "audio": "audio", "video": "video", "file": "file", "document": "file"}
"""Word in the type of a part -> what it is; also `image_url`, `input_audio`."""
_WORD = re.compile(r"[a-z]+")


def check_texts(value: dict[str, Any]) -> None:
    """Raise `Unusable` for a record that holds more than texts: `has_image`, `has_audio`, `has_video`, `has_file`.

    Looked at are columns and keys of turns by their names, and the parts of contents by their types; a part may have an
    empty text beside the picture. Lists of plain texts in a turn are `several_texts`: joined they say what nobody said.
    """
    _check_names(value)
    for kept in value.values():
        for turn in kept if isinstance(kept, list) else (kept,):
            if is_turn(turn):
                _check_names(turn)
                content = turn.get("content", turn.get("value"))
                if isinstance(content, list):
                    _check_parts(content)


def spoken(value: Any, role: str) -> list[Turn]:
    """The turns of a column that holds one text, or turns. Raises `Unusable`; `several_texts` for a list of texts.

    >>> spoken(["Paris"], "assistant") == spoken("Paris", "assistant")
    True
    """
    if isinstance(value, list) and value and not any(is_turn(one) for one in value):
        _check_parts(value)
        value = {"role": role, "content": value}
    elif value is not None and not isinstance(value, str | list) and not is_turn(value):
        raise Unusable("not_text")
    return turns(value, role)


def system_text(value: Any) -> str | None:
    """A system prompt that stands beside the turns: a text, or parts with texts; None where there is none."""
    if is_empty(value):
        return None
    return value if isinstance(value, str) else str(spoken(value, "system")[0]["content"])


def is_turn(value: Any) -> bool:
    """Whether it says who speaks."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


def _check_names(holder: dict[str, Any]) -> None:
    for name, kept in holder.items():
        if (kind := _modality(name, kept)) is not None:
            raise Unusable(f"has_{kind}")


def _modality(name: str, value: Any) -> Kind | None:
    kind = modality_of(name)  # first: the name is known, and the value may be a long text
    if kind is None or is_empty(value) or isinstance(value, bool | int | float):
        return None
    return None if isinstance(value, str) and not _FILE.search(value) else kind


def _check_parts(parts: list[Any]) -> None:
    """Raise `Unusable` for parts that are no texts, and for several plain texts."""
    if len(parts) > 1 and any(isinstance(part, str) for part in parts):
        raise Unusable("several_texts")
    for part in parts:
        if isinstance(part, dict):
            for word in _WORD.findall(part["type"].lower()) if isinstance(part.get("type"), str) else ():
                if word in _PARTS:
                    raise Unusable(f"has_{_PARTS[word]}")
            for name, kept in part.items():
                if name != "text" and (kind := modality_of(name)) and not is_empty(kept):
                    raise Unusable(f"has_{kind}")
