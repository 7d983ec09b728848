"""Rows to text to tokens: one way to render, for training and for every evaluation of it."""

import json
from pathlib import Path
from typing import Any

from tasks.contract.errors import ModelError

CHAT = Path(__file__).parent / "chat"


def tokenizer(base: Path, chat_template: str | None) -> Any:
    """The base's tokenizer with the chat template of the settings, ready to pad.

    Raises `ModelError` where there is no template, no end token, or a stop that generation would not stop at.
    """
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{base}: the tokenizer cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    if chat_template is not None:
        file = CHAT / f"{chat_template}.jinja"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in CHAT.glob("*.jinja")))
            raise ModelError(f"template.chat_template: there is no {file}; known: {known}. Your own goes beside them.")
        loaded.chat_template = file.read_text(encoding="utf-8")
    if not loaded.chat_template:
        raise ModelError(
            f"{base}: the base has no chat template; set template.chat_template (plain suits any base that has none)."
        )
    if loaded.eos_token is None:
        raise ModelError(f"{base}: the tokenizer has no end token (eos_token), so a model could never learn to stop.")
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token  # harmless: padding is masked by position, not by token
    return loaded


def render(tokenizer: Any, messages: list[dict[str, Any]], *, generation_prompt: bool = False) -> str:
    """The text of a dialogue by the tokenizer's chat template."""
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)
    return text


def prompt(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    """The text after which the model answers `messages`, exactly as in training; encode it with `encode`."""
    return render(tokenizer, messages, generation_prompt=True)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has written the control tokens, so none is added."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def context(base: Path) -> int | None:
    """The longest sequence that the base was made for, in tokens, from its config.json."""
    config = json.loads((base / "config.json").read_text())
    value = config.get("max_position_embeddings") or config.get("n_positions")
    return int(value) if value else None
